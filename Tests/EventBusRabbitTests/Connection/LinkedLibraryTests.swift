import EventBus
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct LinkedLibraryTests {
    @Test func `a release of librabbitmq with known vulnerabilities is recognized`() {
        for number: UInt32 in [0x0009_0001, 0x0008_0001, 0x0000_0001] { #expect(LinkedLibrary.isVulnerable(number)) }
        for number: UInt32 in [0x000A_0001, 0x000B_0001, 0x0100_0001] { #expect(!LinkedLibrary.isVulnerable(number)) }
    }

    @Test func `the release of librabbitmq is logged`() async throws {
        let logs = InMemoryLogHandler()
        LinkedLibrary.log(to: BackgroundLogger(Logger(label: "test", factory: { _ in logs })))
        try await eventually("logged") {
            logs.entries.contains {
                "\($0.message)".contains("librabbitmq") && "\($0.metadata)".contains(LinkedLibrary.version)
            }
        }
    }
}
