import Testing

/// The help of the commands, as the program prints it.
struct HelpTests {
    static let commands: [(arguments: [String], words: [String])] = [
        ([], ["dead", "doctor", "tail", "story", "publish", "bench", "Exit codes", "EVENTBUS_URL"]),
        (["dead"], ["groups", "list", "show", "replay", "move", "export", "import", "discard"]),
        (["dead", "groups"], ["--url", "--config", "--group", "--where", "--since", "--json"]),
        (["dead", "list"], ["--url", "--limit", "--json"]),
        (["dead", "show"], ["<event-id>", "--json"]),
        (["dead", "replay"], ["--dry-run", "--rate", "--limit", "--all", "--where"]),
        (["dead", "move"], ["--to", "--dry-run", "--rate"]),
        (["dead", "export"], ["--output", "--where"]),
        (["dead", "test"], ["<event-id>", "--redact", "--import", "--subscribe", "--output"]),
        (["dead", "import"], ["<file>", "--group", "--dry-run"]),
        (["dead", "discard"], ["--yes", "--where"]),
        (["doctor"], ["--queue", "--group", "--watch", "--management", "rabbitmqctl"]),
        (["topology"], ["show", "diff", "plan", "apply", "retire"]),
        (["topology", "show"], ["<file>", "--json"]),
        (["topology", "diff"], ["<file>", "--json"]),
        (["topology", "plan"], ["<file>", "--former", "--json"]),
        (["topology", "apply"], ["<file>", "--url"]),
        (["topology", "retire"], ["<file>", "--former", "--queue", "--move-to", "--dry-run", "--json"]),
        (["tail"], ["<pattern>", "--correlation", "--limit"]),
        (["story"], ["<correlation-id>", "<file>", "--group", "--json"]),
        (["bench"], ["--duration", "--concurrency", "--size", "--json"]),
        (["publish"], ["<topic>", "--data", "--header", "--delay"]),
    ]

    @Test(arguments: commands.indices)
    func `the help of a command names its options`(index: Int) async throws {
        let (arguments, words) = Self.commands[index]
        let outcome = try await Tool.run(arguments + ["--help"])
        #expect(outcome.status == 0)
        #expect(outcome.errors.isEmpty)
        for word in words { #expect(outcome.output.contains(word), "\(word) in \(outcome.output)") }
    }

    @Test func `the version is printed`() async throws {
        let outcome = try await Tool.run(["--version"])
        #expect(outcome.status == 0)
        #expect(outcome.lines.count == 1)
    }

    @Test(arguments: [
        ["dead", "list", "--limit", "0"], ["dead", "list", "--since", "yesterday"],
        ["dead", "list", "--topic", "a..b"],
        ["dead", "groups", "--where", "total > 1"], ["dead", "replay", "--rate", "0"], ["nonsense"],
        ["dead", "list", "--unroutable", "--group", "a"], ["dead", "groups", "--timeout", "-1"],
        ["bench", "--duration", "61"], ["bench", "--concurrency", "0"], ["story", "order-1", "--group", ""],
        ["topology", "retire", "new.json", "--former"], ["publish", "a", "--data", "1", "--delay", "-1"],
        ["publish", "a", "--data", "1", "--delay", "inf"], ["publish", "a", "--data", "1", "--delay", "nan"],
        ["publish", "a", "--data", "1", "--delay", "1e300"],
        ["dead", "list", "--group", String(repeating: "g", count: 300)], ["dead", "list", "--group", "a.b"],
        ["dead", "move", "--all", "--group", "a", "--to", String(repeating: "q", count: 300)],
        ["dead", "import", "-", "--group", String(repeating: "g", count: 300)],
        ["story", "order-1", "--group", String(repeating: "g", count: 300)],
        ["doctor", "--group", String(repeating: "g", count: 300)],
        ["doctor", "--queue", String(repeating: "q", count: 300)],
    ])
    func `a wrong usage ends with 64 and names the option`(arguments: [String]) async throws {
        let outcome = try await Tool.run(arguments + ["--url", "amqp://ops:hunter2@127.0.0.1:1"])
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.output.isEmpty)
        #expect(!outcome.text.contains("hunter2"))
        if let option = arguments.last(where: { $0.hasPrefix("--") }) { #expect(outcome.errors.contains(option)) }
    }

    @Test(arguments: [
        ["dead", "list", "--topic", "a\u{1B}[2J..b"], ["dead", "list", "--group", "a\u{1B}[2Jb"], ["a\u{1B}[2Jb"],
        ["dead", "list", "--a\u{1B}[2Jb"], ["publish", "a..\u{1B}[2J"],
        ["dead", "list", "--group", "a", "--config", "\u{1B}[2J"],
        ["topology", "show", "\u{1B}[2J"],
    ])
    func `what the user wrote is repeated without control characters`(arguments: [String]) async throws {
        let outcome = try await Tool.run(arguments + ["--url", "amqp://ops:hunter2@127.0.0.1:1"])
        #expect(outcome.status != 0)
        #expect(!outcome.text.contains("\u{1B}"), "\(outcome)")
    }
}
