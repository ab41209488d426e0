import Testing

@testable import Fleet

@Suite("Latencies", .timeLimit(.minutes(1)))
struct LatenciesTests {
    @Test("A quantile is the smallest value that so many did not exceed")
    func quantiles() {
        var latencies = Latencies()
        for milliseconds in (1...100).shuffled() { latencies.record(.milliseconds(milliseconds)) }
        #expect(latencies.count == 100)
        #expect(latencies.quantile(0.5) == 50)
        #expect(latencies.quantile(0.99) == 99)
        #expect(latencies.maximum == 100)
        #expect(latencies.quantile(0) == 1)
    }

    @Test("Without measurements every quantile is zero")
    func empty() {
        #expect(Latencies().quantile(0.99) == 0)
    }
}
