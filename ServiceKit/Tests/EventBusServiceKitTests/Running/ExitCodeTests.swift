import EventBus
import Glibc
import Testing

@testable import EventBusServiceKit

@Suite("Exit codes", .timeLimit(.minutes(1)))
struct ExitCodeTests {
    private let output: LogFile
    private let errors: LogFile

    init() throws {
        output = try LogFile()
        errors = try LogFile()
    }

    private func main(_ arguments: String..., definition: ServiceDefinition = .plain()) async -> Int32 {
        await definition.main(
            arguments: ["order-service", "--http-open-access"] + arguments,
            output: output.writer,
            errors: errors.writer
        )
    }

    @Test("Help and version exit with 0")
    func help() async {
        #expect(await main("--version") == 0)
        #expect(output.lines == ["order-service 1.0.0"])
        #expect(await main("--http-port", "many", "--help") == 0)
        #expect(output.lines.contains("order-service: Takes orders."))
        #expect(errors.lines.isEmpty)
    }

    @Test("An invalid command line or configuration exits with 64")
    func usage() async {
        #expect(await main("--nonsense") == 64)
        #expect(await main("--http-port", "many") == 64)
        #expect(await main("--config-file", "/nowhere/c.json") == 64)
        #expect(await main("--rabbitmq-uri", "http://here") == 64)
        let hint = "Try order-service --help."
        #expect(
            errors.lines == [
                "order-service: there is no flag --nonsense", hint,
                #"order-service: the flag --http-port is "many", which has to be a whole number"#, hint,
                "order-service: the configuration file /nowhere/c.json cannot be used: there is no such file", hint,
                "order-service: rabbitmq: the URI of the broker is not valid: it begins with neither amqp:// nor "
                    + "amqps://", hint,
            ]
        )
    }

    @Test func `an invalid setting that the assembly finds exits with 64`() async {
        let strict = ServiceDefinition.plain { _, _ in throw UsageError("cache.ttl is 0; it has to be above 0") }
        #expect(await main(definition: strict) == 64)
        let typed = ServiceDefinition.plain { _, _ in throw EventBusError(.invalidConfiguration, "mail.from is empty") }
        #expect(await main(definition: typed) == 64)
        let hint = "Try order-service --help."
        #expect(
            errors.lines == [
                "order-service: cache.ttl is 0; it has to be above 0", hint, "order-service: mail.from is empty", hint,
            ]
        )
    }

    @Test("A service that cannot start exits with 1")
    func failures() async {
        #expect(await main("--trace-file", "/nowhere/trace") == 1)
        let failing = ServiceDefinition.plain { _, _ in throw ServiceFailure("the mailbox is locked") }
        #expect(await main(definition: failing) == 1)
        #expect(
            errors.lines == [
                "order-service: cannot open the trace file /nowhere/trace: No such file or directory",
                "order-service: the mailbox is locked",
            ]
        )
    }

    @Test("Errors are described on one line")
    func oneLine() {
        struct Verbose: Error, CustomStringConvertible { var description: String { "one\ntwo\n" } }
        #expect(FailureReport(Verbose(), executable: "order-service").text == "one two")
    }
}
