import Foundation
import Testing

/// The sentences and exit codes for brokers that cannot be used, none of which contains the password.
@Suite(.timeLimit(.minutes(2)))
struct ConnectionProblemTests {
    private static let password = "hunter2"

    private func problem(
        _ url: String?,
        _ arguments: [String] = [],
        environment: [String: String] = [:]
    ) async throws -> Tool.Outcome {
        let outcome = try await Tool.run(
            ["dead", "groups", "--group", "inventory", "--timeout", "1"] + (url.map { ["--url", $0] } ?? [])
                + arguments,
            environment: environment
        )
        #expect(outcome.output.isEmpty)
        #expect(!outcome.text.contains(Self.password), "\(outcome.text)")
        #expect(outcome.errors.hasPrefix("eventbus: "), "\(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
        return outcome
    }

    @Test(arguments: [
        ("http://ops:hunter2@rabbit/", "amqp://"), ("amqp://ops:hunter2@rabbit:notaport/", "host"),
        ("amqp://ops:hunter2@rabbit/a/b", "%2F"), ("amqp://ops:hunter2%zz@rabbit/", "password"),
    ])
    func `an invalid address is named part by part`(url: String, part: String) async throws {
        let outcome = try await problem(url)
        #expect(outcome.status == 78)
        #expect(outcome.errors.contains(part), "\(outcome.errors)")
    }

    @Test func `a missing address, file or group is asked for`() async throws {
        let address = try await problem(nil)
        #expect(address.status == 64)
        #expect(address.errors.contains("EVENTBUS_URL"))
        let file = try await problem(nil, ["--config", "/nowhere/eventbus.json"])
        #expect(file.status == 78)
        #expect(file.errors.contains("there is no such file"))
        let group = try await Tool.run(["dead", "groups", "--url", "amqp://ops:hunter2@127.0.0.1:1"])
        #expect(group.status == 64)
        #expect(group.errors.contains("--group"))
    }

    @Test func `a configuration file may hold the address, and an invalid one is described`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "eventbus.json").path(percentEncoded: false)
        func outcome(_ text: String) async throws -> Tool.Outcome {
            try Data(text.utf8).write(to: URL(filePath: path))
            return try await problem(nil, ["--config", path])
        }
        let valid = try await outcome(
            #"{"rabbitmq": {"uri": "amqp://ops:hunter2@127.0.0.1:1/", "reconnect": {"initial": 1}}, "groups": ["a"]}"#
        )
        #expect(valid.status == 69, "\(valid)")
        for (text, reason) in [
            ("{", "not JSON"), ("[]", "not a JSON object"), (#"{"groups": "a"}"#, "groups"),
            (#"{"uri": "amqp://ops:hunter2@h", "queueType": "odd"}"#, "queueType"),
            (#"{"uri": "amqp://ops:hunter2@h", "exchnage": "shop"}"#, "no key \"exchnage\""),
            (#"{"uri": "amqp://ops:hunter2@h", "password": 12345678}"#, "\"password\" is not a text"),
            (#"{"uri": "amqp://ops:hunter2@h", "groups": ["inventory.orders"]}"#, "names no group"),
        ] {
            let invalid = try await outcome(text)
            #expect(invalid.status == 78, "\(invalid)")
            #expect(invalid.errors.contains(reason), "\(invalid.errors)")
            #expect(!invalid.text.contains("12345678"))
        }
    }

    @Test func `a closed port and a broker that hangs are told apart from a refusal`() async throws {
        let closed = try await problem("amqp://ops:hunter2@127.0.0.1:1/")
        #expect(closed.status == 69)
        #expect(closed.errors.contains("127.0.0.1:1"), "\(closed.errors)")
        let server = try SilentServer()
        let silent = try await problem("amqp://ops:hunter2@127.0.0.1:\(server.port)/")
        #expect(silent.status == 75)
        let sentence = "127.0.0.1:\(server.port) did not answer within 1.0 seconds"
        #expect(silent.errors.contains(sentence), "\(silent.errors)")
        withExtendedLifetime(server) {}
    }

    @Test(arguments: [
        ["bench"], ["doctor"], ["story", "order-1", "--group", "inventory"], ["tail"], ["topology", "plan", "FILE"],
        ["topology", "retire", "FILE", "--former", "FILE"],
    ])
    func `every command names a broker that it cannot use, without the password`(arguments: [String]) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "topology.json")
        let old = """
            {"exchange":"events","queueType":"quorum","subscriptions":[{"group":"g","name":"n","queue":"g.n",
             "patterns":["a"],"formerPatterns":[],"singleActiveConsumer":false}]}
            """
        try Data(old.utf8).write(to: file)
        let empty = folder.appending(path: "empty.json")
        try Data(#"{"exchange":"events","queueType":"quorum","subscriptions":[]}"#.utf8).write(to: empty)
        var files = [empty, file].map { $0.path(percentEncoded: false) }
        let given = arguments.map { $0 == "FILE" ? files.removeFirst() : $0 }
        let server = try SilentServer()
        var addresses = [("127.0.0.1:1", Int32(69)), ("127.0.0.1:\(server.port)", 75)]
        if let broker = TestBroker.url?.split(separator: "@").last { addresses.append((String(broker), 77)) }
        for (address, status) in addresses {
            let uri = "amqp://guest:\(Self.password)@\(address)"
            let outcome = try await Tool.run(given + ["--timeout", "1", "--url", uri])
            #expect(outcome.status == status, "\(address): \(outcome)")
            #expect(outcome.output.isEmpty)
            #expect(outcome.errors.hasPrefix("eventbus: "), "\(outcome.errors)")
            #expect(!outcome.text.contains(Self.password), "\(outcome.text)")
        }
        withExtendedLifetime(server) {}
    }

    @Test(.enabled(if: TestBroker.isThere))
    func `a refused login, a missing virtual host, exchange, group and permission are named`() async throws {
        let scene = try await Scene()
        let url = try #require(TestBroker.url)
        let address = try #require(url.split(separator: "@").last.map(String.init))
        let exchange = ["--exchange", scene.exchange]
        let login = try await problem("amqp://guest:hunter2@\(address)", exchange)
        #expect(login.status == 77)
        #expect(login.errors.contains("check user and password"), "\(login.errors)")
        let host = try await problem(url.replacing("%2F", with: "nowhere"), exchange)
        #expect(host.status == 77)
        #expect(host.errors.contains("nowhere"))
        let missing = try await problem(url, ["--exchange", "none-\(scene.group)"])
        #expect(missing.status == 1)
        #expect(missing.errors.contains("none-\(scene.group)"))
        #expect(missing.errors.contains("--exchange"))
        let group = try await problem(url, exchange + ["--group", "none-\(scene.group)"])
        #expect(group.status == 1)
        #expect(group.errors.contains("inventory.dead") || group.errors.contains("none-\(scene.group).dead"))

        try await TestBroker.control("add_user", scene.group, Self.password)
        try await TestBroker.control("set_permissions", scene.group, "^$", "^$", "^$")
        try await scene.add([scene.letter(1)])
        let refused = try await Tool.run(
            ["dead", "list", "--url", "amqp://\(scene.group)@\(address)"] + scene.options,
            environment: ["EVENTBUS_PASSWORD": Self.password]
        )
        #expect(refused.status == 77, "\(refused)")
        #expect(refused.errors.contains("\(scene.group).dead"), "\(refused.errors)")
        #expect(refused.errors.contains("permission"))
        #expect(!refused.text.contains(Self.password))
    }
}
