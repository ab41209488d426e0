import EventBus
import Foundation
import NotificationService
import ServiceTestKit
import Testing

@testable import NotificationServer

@Suite("Mail over SMTP", .timeLimit(.minutes(3)))
struct SMTPMailerTests {
    /// Returns a mailer for a server.
    private func mailer(
        _ scheme: String = "smtp",
        _ server: MailServer,
        _ change: (inout SMTPConfiguration) -> Void = { _ in }
    ) throws -> SMTPMailer {
        var configuration = try SMTPConfiguration(url: "\(scheme)://127.0.0.1:\(server.port)")
        configuration.connectTimeout = .seconds(30)
        configuration.timeout = .seconds(60)
        change(&configuration)
        return try SMTPMailer(configuration)
    }

    private func plainMailer(_ server: MailServer) throws -> SMTPMailer {
        try mailer("smtp", server) { $0.encryption = .ifOffered }
    }

    @Test("Messages arrive unchanged, over one connection")
    func accepted() async throws {
        let server = try await MailServer()
        let mailer = try plainMailer(server)
        let texts = [
            "Your order is on its way.", ".\n..\n.end\n", "From me\nGrüße\n", String(repeating: "x", count: 9_000),
        ]
        let messages = try texts.enumerated().map { try MailMessage.sample("\($0)", text: $1) }
        for message in messages { #expect(try await mailer.send(message)) }
        let entries = try server.entries
        #expect(entries.map(\.from) == Array(repeating: "orders@shop.example", count: texts.count))
        #expect(entries.map(\.to) == Array(repeating: ["VINET@customers.example"], count: texts.count))
        for (entry, message) in zip(entries, messages) {
            #expect(String(decoding: entry.message, as: UTF8.self) == message.text(.crlf))
        }
        #expect(Set(entries.map(\.client)).count == 1)
        #expect(mailer.health == ComponentHealth(name: "smtp", status: .ready))
    }

    @Test("Any name of a customer reaches the server as an address")
    func strangeCustomers() async throws {
        let server = try await MailServer()
        let mailer = try plainMailer(server)
        for customer in ["a>\r\nRCPT TO:<b", "ü", "a b"] {
            try await mailer.send(.sample(customerID: customer))
        }
        #expect(
            try server.entries.map(\.to) == [
                ["a=3E=0D=0ARCPT=20TO=3A=3Cb@customers.example"], ["=C3=BC@customers.example"],
                ["a=20b@customers.example"],
            ]
        )
    }

    @Test(
        "What the server refuses for good is never tried again, and its word is kept",
        arguments: ["refused", "spam"]
    )
    func refused(customer: String) async throws {
        let server = try await MailServer()
        let mailer = try plainMailer(server)
        let error = try await #require(throws: MailRefused.self) {
            try await mailer.send(.sample(customerID: customer))
        }
        #expect((error as any Error) is any NonRetryable)
        #expect(error.recipient.description == "\(customer)@customers.example")
        #expect(
            error.reply.hasPrefix(customer == "spam" ? "554 5.7.1 This looks like spam" : "550 5.1.1 There is no such")
        )
        // The next one is not affected.
        #expect(mailer.health.status == .ready)
        #expect(try await mailer.send(.sample()))
    }

    @Test("A message that the server temporarily refuses may be retried", arguments: ["busy", "later"])
    func temporary(customer: String) async throws {
        let server = try await MailServer()
        let mailer = try plainMailer(server)
        let error = try await #require(throws: RetryLater.self) {
            try await mailer.send(.sample(customerID: customer))
        }
        #expect(!error.countsAsAttempt)
        #expect(error.reason.contains(customer == "busy" ? "(451 4.2.1" : "(452 4.3.1"), "\(error)")
        #expect(mailer.health.status == .notReady)
        #expect(try await mailer.send(.sample()))
        #expect(mailer.health.status == .ready)
        #expect(try server.entries.count == 1)
    }

    @Test("Without a server, messages can be retried, and are sent when there is one")
    func noServer() async throws {
        let server = try await MailServer()
        let mailer = try plainMailer(server)
        try await server.stop()
        await expectOutage { try await mailer.send(.sample()) }
        #expect(mailer.health.reason?.contains("127.0.0.1:\(server.port) takes no mail at present") == true)
        let next = try await MailServer(port: server.port)
        #expect(try await mailer.send(.sample()))
        #expect(try next.entries.count == 1)
    }

    @Test("After a restart of the server, a new connection is made")
    func restart() async throws {
        let server = try await MailServer()
        let mailer = try plainMailer(server)
        #expect(try await mailer.send(.sample("1")))
        try await server.stop()
        let next = try await MailServer(port: server.port)
        try await eventually { (try? await mailer.send(.sample("2"))) == true }
        #expect(try next.entries.count == 1)
    }

    @Test(
        "A server that sends the client away, or says nothing, is not the message's fault",
        arguments: ["554 No", "silence"]
    )
    func greeting(text: String) async throws {
        let server = try await MailServer(.greeting(text))
        let mailer = try mailer("smtp", server) {
            $0.encryption = .ifOffered
            $0.timeout = .milliseconds(500)
        }
        await expectOutage { try await mailer.send(.sample()) }
        #expect(mailer.health.status == .notReady)
    }

    @Test("With smtp:// the connection is encrypted before anything is sent")
    func startTLS() async throws {
        let server = try await MailServer(.startTLS)
        let mailer = try mailer("smtp", server) { $0.certificateFile = server.certificate }
        #expect(try await mailer.send(.sample()))
        #expect(try server.entries.map(\.isEncrypted) == [true])
    }

    @Test("With smtps:// the connection is encrypted from the start")
    func smtps() async throws {
        let server = try await MailServer(.smtps)
        let mailer = try mailer("smtps", server) { $0.certificateFile = server.certificate }
        #expect(try await mailer.send(.sample()))
        #expect(try server.entries.map(\.isEncrypted) == [true])
    }

    @Test("A server without encryption gets nothing, unless that is allowed")
    func noEncryption() async throws {
        let server = try await MailServer()
        await expectOutage { try await mailer("smtp", server).send(.sample()) }
        await expectOutage { try await mailer("smtps", server).send(.sample()) }
        #expect(try server.entries.isEmpty)
        #expect(try await plainMailer(server).send(.sample()))
    }

    @Test("A server that cannot prove its identity gets nothing", arguments: [MailServer.Kind.startTLS, .smtps])
    func unknownCertificate(kind: MailServer.Kind) async throws {
        let server = try await MailServer(kind)
        let mailer = try mailer(kind == .smtps ? "smtps" : "smtp", server)
        let error = try await #require(throws: EventBusError.self) { try await mailer.send(.sample()) }
        #expect(error.code == .unavailable)
        #expect(error.message.contains("certificate") || error.message.contains("SSL"), "\(error)")
        #expect(try server.entries.isEmpty)
    }

    @Test("The client logs in, and a wrong password is not the message's fault")
    func login() async throws {
        let server = try await MailServer(.login)
        func mailer(_ password: String?) throws -> SMTPMailer {
            try self.mailer("smtp", server) { configuration in
                configuration.certificateFile = server.certificate
                configuration.username = password.map { _ in "shop" }
                configuration.password = password
            }
        }
        await expectOutage { try await mailer("wrong").send(.sample()) }
        // 530 means that a login is required first.
        await expectOutage { try await mailer(nil).send(.sample()) }
        #expect(try await mailer("secret").send(.sample()))
        #expect(try server.entries.map(\.user) == ["shop"])
    }

    /// Expects that the server takes no mail at all.
    private func expectOutage(
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () async throws -> Bool
    ) async {
        let error = await #expect(throws: EventBusError.self, sourceLocation: sourceLocation) { try await body() }
        #expect(error?.code == .unavailable, sourceLocation: sourceLocation)
    }
}
