import EventBus
import Foundation
import ServiceTestKit
import Testing

@testable import NotificationServer

@Suite("The mail file", .timeLimit(.minutes(2)))
struct MailFileTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func file(_ name: String = "mail.mbox") -> MailFile {
        MailFile(path: scratch.path(name), logger: .quiet)
    }

    @Test("A sent message is in the file exactly once, even after a restart")
    func once() async throws {
        let message = try MailMessage.sample()
        do {
            let file = try await opened(file())
            #expect(try await file.send(message))
            #expect(scratch.contents("mail.mbox") == Array(message.mailboxText.utf8))
            #expect(try await file.send(message) == false)
        }
        let file = try await opened(file())
        #expect(try await file.send(message) == false)
        let other = try MailMessage.sample("2")
        #expect(try await file.send(other))
        #expect(scratch.contents("mail.mbox") == Array((message.mailboxText + other.mailboxText).utf8))
    }

    @Test("If a process was killed inside a message, the next one writes it completely")
    func tornTail() async throws {
        let messages = try ["1", "2", "3"].map { try MailMessage.sample($0, text: "Ümlaut\n\nFrom here\n") }
        let whole = Array(messages.map(\.mailboxText).joined().utf8)
        let last = messages[2].mailboxText.utf8.count
        for length in 0..<last {
            let name = "mail-\(length)"
            try scratch.write(whole.dropLast(last - length), to: name)
            let file = try await opened(file(name))
            #expect(scratch.contents(name).count == whole.count - last, "\(length)")
            #expect(try await file.send(messages[2]))
            #expect(scratch.contents(name) == whole, "\(length)")
        }
    }

    @Test("Concurrent messages are all written once, and share the wait for the disk")
    func concurrency() async throws {
        let storage = FaultyStorage()
        let file = MailFile(path: "mail", logger: .quiet, openStorage: storage.opener)
        #expect(try await file.open())
        let before = storage.counts.synchronized
        let messages = try (0..<200).map { try MailMessage.sample("\($0)") }
        let sent = try await withThrowingTaskGroup(of: Bool.self) { group in
            for message in messages + messages { group.addTask { try await file.send(message) } }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(sent == 200)
        var scanner = MailFileScanner(path: "mail")
        try scanner.read(storage.bytes[...])
        scanner.finish()
        #expect(scanner.messageIDs == Set(messages.map(\.id)))
        #expect(storage.bytes.count == messages.reduce(0) { $0 + $1.mailboxText.utf8.count })
        #expect(storage.counts.synchronized - before < 200)
    }

    @Test("A file that is not a mailbox is left unchanged")
    func otherFile() async throws {
        try scratch.write("not mail\n".utf8, to: "mail.mbox")
        let file = file()
        let error = try await #require(throws: MailFileError.self) { try await file.open() }
        #expect(error.description.contains(scratch.path("mail.mbox")))
        #expect(scratch.contents("mail.mbox") == Array("not mail\n".utf8))
    }

    @Test("A file that cannot be created is named with the reason")
    func unwritable() async throws {
        let file = file("nowhere/mail.mbox")
        let error = try await #require(throws: MailFileError.self) { try await file.open() }
        #expect(
            error.description == "\(scratch.path("nowhere/mail.mbox")): cannot be opened: No such file or directory"
        )
        await #expect(throws: MailFileError.notOpen(path: scratch.path("nowhere/mail.mbox"))) {
            try await file.send(.sample())
        }
    }

    @Test("After another program's message without its last line end, a new one is started")
    func otherProgram() async throws {
        let foreign = "From a@b Thu Feb  5 12:00:00 2026\nTo: <c@d>\nDate: Thu, 05 Feb 2026 12:00:00 +0000\n\ntext"
        try scratch.write(foreign.utf8, to: "mail.mbox")
        let message = try MailMessage.sample()
        let file = try await opened(file())
        try await file.send(message)
        #expect(scratch.contents("mail.mbox") == Array((foreign + "\n\n" + message.mailboxText).utf8))
        let read = try await ReadMessage.all(in: scratch.path("mail.mbox"))
        #expect(read.map(\.text).first == "text\n")
        #expect(read.last?.header("Message-ID") == "\(message.id)")
    }
}
