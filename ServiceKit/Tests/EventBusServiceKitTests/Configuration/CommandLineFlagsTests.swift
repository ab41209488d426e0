import Testing

@testable import EventBusServiceKit

@Suite("Command line", .timeLimit(.minutes(1)))
struct CommandLineFlagsTests {
    private let settings = [
        Setting("http.port", .int, default: "8080", "the port"),
        Setting("rabbitmq.uri", .string, default: nil, isSecret: true, "the broker"),
        Setting("mail.dryRun", .bool, default: nil, "whether nothing is sent"),
    ]

    private func read(_ arguments: String...) throws(UsageError) -> CommandLineFlags {
        try CommandLineFlags(["program"] + arguments, settings: settings)
    }

    @Test("A value follows its flag or an equals sign")
    func values() throws {
        #expect(try read("--http-port", "1").values == ["HTTP_PORT": "1"])
        #expect(try read("--http-port=1").values == ["HTTP_PORT": "1"])
        #expect(try read("--http-port", "-1").values == ["HTTP_PORT": "-1"])
        #expect(try read("--http-port=").values == ["HTTP_PORT": ""])
    }

    @Test("Commas and equals signs belong to the value")
    func commas() throws {
        let uri = "amqp://user:a=b,c@one:5672,two:5672/%2F"
        #expect(try read("--rabbitmq-uri", uri).values == ["RABBITMQ_URI": uri])
        #expect(try read("--rabbitmq-uri=\(uri)").values == ["RABBITMQ_URI": uri])
    }

    @Test("A Boolean flag needs no value")
    func switches() throws {
        #expect(try read("--mail-dry-run").values == ["MAIL_DRY_RUN": "true"])
        #expect(try read("--mail-dry-run", "false", "--http-port", "1").values["MAIL_DRY_RUN"] == "false")
        #expect(try read("--mail-dry-run", "--http-port", "1").values["MAIL_DRY_RUN"] == "true")
    }

    @Test("Help and version may be combined with other flags")
    func help() throws {
        let flags = try read("--http-port", "1", "--help")
        #expect(flags.wantsHelp && !flags.wantsVersion)
        #expect(try read("-h").wantsHelp)
        #expect(try read("--version").wantsVersion)
    }

    @Test(
        "What cannot be understood is refused, with what to do",
        arguments: [
            (["--http-prot", "1"], "there is no flag --http-prot"),
            (["--port", "1"], "there is no flag --port: did you mean --http-port?"),
            (["--http-port"], "--http-port needs a value: the port"),
            (["--http-port", "--help"], "--http-port needs a value: the port"),
            (["--http-port", "1", "--http-port", "2"], "--http-port is given twice"),
            (["serve"], "serve is not a flag; flags begin with -- and --help prints them"),
        ]
    )
    func refusals(arguments: [String], message: String) {
        #expect(throws: UsageError(message)) { try CommandLineFlags(["program"] + arguments, settings: settings) }
    }

    @Test("The error for an unknown flag does not show its value")
    func secrecy() {
        #expect(throws: UsageError("there is no flag --rabbit-password")) { try read("--rabbit-password=hunter22") }
    }
}
