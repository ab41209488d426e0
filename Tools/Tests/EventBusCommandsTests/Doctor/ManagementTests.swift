import ArgumentParser
import EventBusRabbit
import Foundation
import Testing

@testable import EventBusCommands

/// The findings from the management API, and the sentences when it cannot be asked.
struct ManagementTests {
    private func findings(_ change: (inout ManagementReport) throws -> Void) rethrows -> [Finding] {
        var report = ManagementReport()
        report.queues = ["inventory.orders", "inventory.dead", "eventbus.delay.v1.0", "billing"].map {
            ManagementReport.Queue(name: $0)
        }
        try change(&report)
        return ManagementExamination(
            report: report,
            exchange: "events",
            queues: ["inventory.orders"],
            groups: ["inventory"]
        ).findings
    }

    @Test func `a policy that loses events is named with a pattern that leaves out the bus`() throws {
        let policy = ManagementReport.Policy(
            name: "short",
            pattern: "^.*",
            definition: ["message-ttl": .integer(60_000), "ha-mode": .string("all")]
        )
        let found = findings { report in
            report.policies = [policy]
            for index in report.queues.indices { report.queues[index].policy = "short" }
        }
        #expect(found.map(\.level) == [.problem])
        #expect(found[0].message.hasPrefix("the policy reaches eventbus.delay.v1.0 and 2 other objects; message-ttl:"))
        let remedy = try #require(found[0].remedy)
        #expect(remedy.hasSuffix(#": ^(?!(eventbus|inventory)\.).*"#), "\(remedy)")
        let pattern = try Regex(String(remedy.split(separator: " ").last ?? ""))
        #expect("billing".contains(pattern))
        #expect(!"inventory.orders".contains(pattern) && !"eventbus.delay.v1.0".contains(pattern))

        #expect(
            findings { report in
                report.policies = [policy]
                report.queues[3].policy = "short"
            }.isEmpty
        )
        let limit = ManagementReport.Policy(name: "cap", pattern: "dead|bill", definition: ["max-length": .integer(1)])
        let capped = findings { report in
            report.operatorPolicies = [limit]
            report.queues[1].operatorPolicy = "cap"
        }
        #expect(capped.map(\.subject) == ["cap"])
        #expect(capped[0].message.contains("the operator policy reaches inventory.dead; max-length"))
        #expect(capped[0].remedy?.hasSuffix(#"^(?!(eventbus|inventory)\.).*(dead|bill)"#) == true, "\(capped[0])")
    }

    @Test func `a policy that takes the confirms from delays is named`() throws {
        func found(_ overflow: String, on argument: String? = "at-least-once") -> [Finding] {
            findings { report in
                report.policies = [.init(name: "o", pattern: ".*", definition: ["overflow": .string(overflow)])]
                report.queues[2].policy = "o"
                report.queues[1].policy = "o"
                report.queues[2].arguments = argument.map { ["x-dead-letter-strategy": .string($0)] }
            }
        }
        for overflow in ["drop-head", "reject-publish-dlx"] {
            let finding = try #require(found(overflow).first)
            #expect(finding.level == .problem)
            #expect(finding.message.hasPrefix("the policy reaches eventbus.delay.v1.0; overflow: "), "\(finding)")
        }
        #expect(found("reject-publish").isEmpty)
        #expect(found("drop-head", on: nil).isEmpty)
    }

    @Test func `an alternate exchange is found at the exchanges that it reaches`() throws {
        let policy = ManagementReport.Policy(
            name: "rest",
            pattern: ".*",
            definition: ["alternate-exchange": .string("unknown")]
        )
        let found = findings { report in
            report.policies = [policy]
            report.exchanges = [
                .init(name: "events", policy: "rest"), .init(name: "other", policy: "rest"),
                .init(name: "eventbus.dead.v1", policy: "rest"),
                .init(
                    name: "eventbus.delay.v1.exit",
                    policy: "rest",
                    arguments: ["alternate-exchange": .string("eventbus.delay.v1.unroutable")]
                ),
            ]
        }
        #expect(found.count == 1)
        #expect(
            found[0].message.hasPrefix("the policy reaches eventbus.dead.v1 and 1 other object; alternate-exchange: ")
        )
        let pattern = try Regex(String(found[0].remedy?.split(separator: " ").last ?? ""))
        #expect(!"events".contains(pattern) && !"eventbus.dead.v1".contains(pattern) && "other".contains(pattern))
        #expect(
            findings { report in
                report.policies = [policy]
                for index in report.queues.indices { report.queues[index].policy = "rest" }
                report.exchanges = [.init(name: "other", policy: "rest")]
            }.isEmpty
        )
    }

    @Test func `dead letters go elsewhere from the queues of other systems only`() {
        let names = ["x-dead-letter-exchange": JSONValue.string("eventbus.dead.v1")]
        func found(_ arguments: [String: JSONValue]?) -> [Finding] {
            findings { report in
                report.policies = [
                    .init(name: "d", pattern: ".*", definition: ["dead-letter-exchange": .string("dlx")])
                ]
                for index in report.queues.indices { report.queues[index].policy = "d" }
                report.queues[0].arguments = arguments
            }
        }
        #expect(found(names).isEmpty)
        #expect(
            found(nil).map(\.message).first?.hasPrefix("the policy reaches inventory.orders; dead-letter-exchange")
                == true
        )
    }

    @Test func `flags, alarms, clocks and permissions are findings`() {
        let found = findings { report in
            report.featureFlags = [
                .init(name: "stream_queue", state: "disabled", stability: "stable"),
                .init(name: "quorum_queue", state: "enabled", stability: "stable"),
                .init(name: "khepri", state: "disabled", stability: "experimental"),
            ]
            report.nodes = [.init(name: "rabbit@a", running: true, memoryAlarm: true, diskAlarm: false, partitions: [])]
            report.clockAhead = -7.4
            report.permissions = [
                .init(user: "mail", configure: "^$", write: "^events$", read: "^inventory\\..*$"),
                .init(user: "shop", configure: ".*", write: ".*", read: ".*"),
                .init(user: "other", configure: "", write: "", read: ""),
                .init(user: "odd", configure: "(", write: "(", read: "("),
            ]
        }
        #expect(found.map(\.subject) == ["broker", "mail", "rabbit@a", "clock"])
        #expect(found.map(\.level) == [.problem, .warning, .problem, .warning])
        #expect(found[1].message.contains("not write to eventbus.delay.v1.0"))
        #expect(found[3].message == "the clock of the broker is 7 s behind that of this machine")
        #expect(found.allSatisfy { $0.remedy != nil })
        #expect(findings { $0.clockAhead = 1.5 }.isEmpty)
    }

    @Test func `the report is read from the answers, and refusals are named`() throws {
        let server = try FixedServer(
            [
                "/api/overview": (200, "{}"),
                "/api/queues/%2Fshop": (
                    200,
                    """
                    [{"name":"inventory.orders","policy":"p","arguments":{"x-dead-letter-exchange":"eventbus.dead.v1",
                      "x-dead-letter-routing-key":"inventory"}},
                     {"name":"b","exclusive":true,"arguments":{"x-dead-letter-exchange":"eventbus.dead.v1",
                      "x-dead-letter-routing-key":"inventory"}},
                     {"name":"foreign"}]
                    """
                ),
                "/api/policies/%2Fshop": (
                    200, #"[{"name":"p","pattern":".*","definition":{"expires":1},"priority":0}]"#
                ),
                "/api/operator-policies/%2Fshop": (200, "not JSON"),
                "/api/feature-flags": (401, "{}"),
                "/api/nodes": (200, #"[{"name":"n","running":true,"mem_alarm":false,"disk_free_alarm":true}]"#),
            ],
            date: "Sun, 30 Nov 2036 08:00:00 GMT"
        )
        let client = try ManagementClient(
            url: "http://127.0.0.1:\(server.port)/",
            of: RabbitConfiguration(host: .init("rabbit"), credentials: .init(user: "ops", password: "hunter2")),
            timeout: .seconds(10)
        )
        let report = try ManagementReport(client, virtualHost: "/shop")
        #expect(report.queues.map(\.group) == ["inventory", nil, nil])
        #expect(report.policies.map(\.name) == ["p"])
        #expect(report.nodes.map(\.diskAlarm) == [true])
        let ahead = try #require(report.clockAhead)
        #expect(ahead > 1000)
        #expect(report.refusals == ["feature flags: the user needs the tag administrator"])
        // They are no permission that may be missing, so the doctor has not seen everything.
        #expect(report.failures.count == 3, "\(report.failures)")
        #expect(findings { $0.failures = report.failures }.map(\.level) == [.warning, .warning, .warning])
        #expect(server.received.allSatisfy { $0.contains("Authorization: Basic b3BzOmh1bnRlcjI=") })
    }

    @Test func `dates of HTTP are read`() {
        #expect(ManagementClient.httpDate(" Thu, 01 Jan 1970 00:00:10 GMT") == 10)
        #expect(ManagementClient.httpDate("Mon, 30 Nov 2026 08:19:28 GMT") == 1_796_026_768)
        for text in ["", "now", "Mon, 30 Foo 2026 08:19:28 GMT", "Mon, 30 Nov 2026 08:19 GMT"] {
            #expect(ManagementClient.httpDate(text) == nil)
        }
        for year in ["-2147483648", "2147483647", "-1", "0"] {
            #expect(ManagementClient.httpDate("Mon, 30 Nov \(year) 08:00:00 GMT") == nil)
        }
        // Numbers that no clock has end nothing either.
        _ = ManagementClient.httpDate("Mon, 2147483647 Nov 2026 2147483647:-2147483648:2147483647 GMT")
    }

    @Test func `names in a remedy are one word for a shell`() {
        #expect("group.queue-1_a".shellWord == "group.queue-1_a")
        #expect("a b".shellWord == "'a b'")
        #expect("$(reboot)".shellWord == "'$(reboot)'")
        #expect("a'; reboot ".shellWord == #"'a'\''; reboot '"#)
        #expect("a'\u{301}".shellWord == "'a'\\''\u{301}'")
        #expect("".shellWord == "''")
        #expect("a\nb".shellWord == #"'a\u{A}b'"#)
    }

    @Test func `an API that cannot be asked is named with a sentence, a code and no password`() async throws {
        func failure(_ url: String) -> CommandFailure? {
            do {
                let client = try ManagementClient(
                    url: url,
                    of: RabbitConfiguration(
                        host: .init("rabbit"),
                        credentials: .init(user: "ops", password: "hunter2")
                    ),
                    timeout: .milliseconds(300)
                )
                _ = try ManagementReport(client, virtualHost: "/")
                return nil
            } catch {
                return error
            }
        }
        let silent = try SilentServer()
        let refusing = try FixedServer(["/api/overview": (401, "{}")])
        let missing = try FixedServer([:])
        let moved = try FixedServer(["/api/overview": (301, "")])
        let page = try FixedServer(["/api/overview": (200, "<html></html>")])
        let expected: [(url: String, status: Int32, words: String)] = [
            ("http://ops:hunter2@127.0.0.1:\(missing.port)", 69, "with the status 404"),
            ("http://ops:hunter2@127.0.0.1:\(moved.port)", 69, "with the status 301"),
            ("http://ops:hunter2@127.0.0.1:\(page.port)", 69, "no JSON"),
            ("https://ops:hunter2@rabbit:15671", 64, "ssh -L 15672"),
            ("rabbit", 64, "http://"),
            ("http://ops:hunter2@127.0.0.1:1", 69, "rabbitmq-plugins enable"),
            ("http://ops:hunter2@127.0.0.1:\(silent.port)", 75, "did not answer"),
            ("http://ops:hunter2@127.0.0.1:\(refusing.port)", 77, "set_user_tags"),
        ]
        for (url, status, words) in expected {
            let found = try #require(failure(url))
            #expect(found.status.rawValue == status, "\(url): \(found.message)")
            #expect(found.message.contains(words), "\(found.message)")
            #expect(!found.message.contains("hunter2"))
        }
        withExtendedLifetime((silent, refusing, missing, moved, page)) {}
    }

    @Test func `a password that the broker gets encrypted is not sent to the API in clear text`() throws {
        var configuration = RabbitConfiguration(
            host: .init("rabbit", port: 5671),
            credentials: .init(user: "ops", password: "hunter2"),
            tls: .init()
        )
        func problem(_ url: String, isInsecure: Bool = false) -> CommandFailure? {
            do {
                _ = try ManagementClient(url: url, of: configuration, isInsecure: isInsecure, timeout: .seconds(1))
                return nil
            } catch {
                return error
            }
        }
        for url in ["http://rabbit:15672", "http://ops@rabbit", "http://127.0.0.1.example", "http://128.0.0.1"] {
            let problem = try #require(problem(url), "\(url)")
            #expect(problem.status.rawValue == 64)
            #expect(problem.message.contains("--insecure") && !problem.message.contains("hunter2"))
        }
        for url in ["http://127.0.0.1:15672", "http://localhost", "http://[::1]:15672", "http://watch:secret@rabbit"] {
            #expect(problem(url) == nil, "\(url)")
        }
        #expect(problem("http://rabbit", isInsecure: true) == nil)
        configuration.tls = nil
        #expect(problem("http://rabbit") == nil)
    }

    /// It starts the plugin in the broker of the tests, which takes some seconds.
    @Test(.enabled(if: TestBroker.isThere && ProcessInfo.processInfo.environment["EVENTBUS_TEST_FULL"] != nil))
    func `the doctor finds queues and policies through a broker's own API`() async throws {
        let scene = try await Scene()
        let (descriptor, port) = try SilentServer.listening()
        close(descriptor)
        let folder = try #require(ProcessInfo.processInfo.environment["EVENTBUS_TEST_BROKERS"])
        try Data("[rabbitmq_management].".utf8).write(to: URL(filePath: "\(folder)/enabled_plugins"))
        try await TestBroker.control(
            "eval",
            "application:set_env(rabbitmq_management, tcp_config, [{ip, \"127.0.0.1\"}, {port, \(port)}]), "
                + "rabbit_plugins:ensure(\"\(folder)/enabled_plugins\")."
        )
        try await TestBroker.control("set_policy", scene.group, "^\(scene.group)", #"{"max-length":5}"#)
        let url = try #require(TestBroker.url)
        let user = try #require(url.split(separator: "/").last { $0.contains("@") }?.split(separator: ":").first)
        try await TestBroker.control("set_user_tags", String(user), "administrator")
        func doctor() async throws -> Tool.Outcome {
            try await Tool.run(
                ["doctor", "--watch", "0", "--exchange", scene.exchange, "--management", "http://127.0.0.1:\(port)"],
                environment: scene.environment
            )
        }
        // Queues tell their policy with their next statistics, at most five seconds later.
        let deadline = ContinuousClock.now + .seconds(30)
        var outcome = try await doctor()
        while !outcome.output.contains("the policy reaches"), ContinuousClock.now < deadline {
            outcome = try await doctor()
        }
        print(outcome.output)
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.output.contains("\(scene.group).orders: nobody consumes"), "\(outcome)")
        #expect(outcome.output.contains("\(scene.group): the policy reaches"), "\(outcome)")
        #expect(!outcome.output.contains("could not be asked"), "\(outcome)")
        try await TestBroker.control("clear_policy", scene.group)
    }
}
