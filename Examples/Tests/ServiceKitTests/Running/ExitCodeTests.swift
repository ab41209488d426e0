import Glibc
import Testing

@testable import ServiceKit

@Suite("Exit codes", .timeLimit(.minutes(1)))
struct ExitCodeTests {
    private func main(_ arguments: String..., definition: ServiceDefinition = .plain()) async -> Int32 {
        await definition.main(arguments: ["order-service"] + arguments)
    }

    @Test("Help and version end with 0")
    func help() async {
        #expect(await main("--help") == 0)
        #expect(await main("--version") == 0)
    }

    @Test("A command line or configuration that is not valid ends with 64")
    func usage() async {
        #expect(await main("--nonsense") == 64)
        #expect(await main("--http-port", "many") == 64)
        #expect(await main("--config-file", "/nowhere/c.json") == 64)
        #expect(await main("--rabbitmq-uri", "http://here") == 64)
    }

    @Test("A service that cannot start ends with 1")
    func failures() async throws {
        let directory = try TemporaryDirectory()
        #expect(await main("--database-path", "/nowhere/db") == 1)
        #expect(await main("--trace-file", "/nowhere/trace") == 1)
        let failing = ServiceDefinition.plain { _ in throw ServiceFailure("the mailbox is locked") }
        #expect(await main("--database-path", directory.file("db"), definition: failing) == 1)
    }

    @Test("Errors are told in one line")
    func oneLine() {
        struct Verbose: Error, CustomStringConvertible { var description: String { "one\ntwo\n" } }
        #expect(FailureText.line(Verbose()) == "one two")
    }
}
