import EventBusRabbit
import Foundation
import Glibc
import Testing

@testable import EventBusCommands

/// The command `bench`, as a program against a broker.
@Suite(.timeLimit(.minutes(2)))
struct BenchCommandTests {
    @Test func `a percentile is a measured value`() {
        #expect(LoadTest.percentile(50, of: []) == 0)
        #expect(LoadTest.percentile(99, of: [3]) == 3)
        #expect(LoadTest.percentile(50, of: [1, 2, 3, 4]) == 2)
        #expect(LoadTest.percentile(99, of: (1...200).map(Double.init)) == 198)
    }

    @Test(.enabled(if: TestBroker.isThere))
    func `the load is measured, and no subscription receives any of it`() async throws {
        let scene = try await Scene()
        let outcome = try await scene.bench("--duration", "0.3", "--json")
        #expect(outcome.status == 0, "\(outcome)")
        for member in ["publishedPerSecond", "consumedPerSecond", "confirmP50", "confirmP99"] {
            #expect(outcome.output.contains("\"\(member)\":"), "\(outcome)")
        }
        let text = try await scene.bench("--duration", "0.1", "--size", "0")
        #expect(text.output.hasPrefix("published  "), "\(text)")
        #expect(text.lines.count == 3, "\(text)")
        #expect(try await scene.count(scene.queue) == 0)
    }

    @Test(.enabled(if: TestBroker.isThere))
    func `an interrupted measurement reports what it measured`() async throws {
        let scene = try await Scene()
        let outcome = try await scene.bench("--duration", "60") { running in
            try await running.wait(for: "events published")
            kill(running.pid, SIGINT)
        }
        #expect(outcome.status == 130, "\(outcome)")
        #expect(outcome.output.contains("confirmed  p50"), "\(outcome)")
    }
}

extension Scene {
    fileprivate func bench(
        _ arguments: String...,
        whileRunning: (@Sendable (Tool.Running) async throws -> Void)? = nil
    ) async throws -> Tool.Outcome {
        try await Tool.run(
            ["bench", "--exchange", exchange] + arguments,
            environment: environment,
            whileRunning: whileRunning
        )
    }
}
