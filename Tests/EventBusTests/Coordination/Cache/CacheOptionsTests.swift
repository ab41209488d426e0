import EventBus
import Testing

extension CoordinationTests {
    @Suite
    struct CacheOptionsTests {
        @Test func `who reads near the end computes anew, the sooner the longer it takes`() {
            let options = CacheOptions(earlyRefresh: 1)
            // -ln(1 - draw) is 1 here.
            let draw = 0.632_120_558_828_557_7
            #expect(options.isDueEarly(left: .milliseconds(99), computing: .milliseconds(100), draw: draw))
            #expect(!options.isDueEarly(left: .milliseconds(101), computing: .milliseconds(100), draw: draw))
            #expect(options.isDueEarly(left: .milliseconds(199), computing: .milliseconds(200), draw: draw))
            let eager = CacheOptions(earlyRefresh: 2)
            #expect(eager.isDueEarly(left: .milliseconds(199), computing: .milliseconds(100), draw: draw))
            #expect(!options.isDueEarly(left: .nanoseconds(1), computing: .milliseconds(100), draw: 0))
        }

        @Test func `the part of readers who compute anew is the one of the paper`() {
            let options = CacheOptions(earlyRefresh: 1)
            let count = 100_000
            // The chance that −ln(u) exceeds 2.
            let expected = 0.135_335 * Double(count)
            let due = (0..<count).count { _ in options.isDueEarly(left: .seconds(2), computing: .seconds(1)) }
            #expect(abs(Double(due) - expected) < 1000, "\(due)")
        }

        @Test func `nothing is due without the wish, without a computing time, or where no draw can make it so`() {
            let certain = 1 - Double.ulpOfOne / 2
            #expect(!CacheOptions().isDueEarly(left: .nanoseconds(1), computing: .seconds(9), draw: certain))
            let options = CacheOptions(earlyRefresh: 1)
            #expect(!options.isDueEarly(left: .nanoseconds(1), computing: .zero, draw: certain))
            #expect(options.isDueEarly(left: .milliseconds(36_700), computing: .seconds(1), draw: certain))
            #expect(options.mayBeDueEarly(left: .milliseconds(36_700), computing: .seconds(1)))
            #expect(!options.mayBeDueEarly(left: .seconds(37), computing: .seconds(1)))
            for odd in [-1.0, .nan, .infinity, .greatestFiniteMagnitude] {
                let options = CacheOptions(earlyRefresh: odd)
                #expect(
                    options.isDueEarly(left: .seconds(Int64.max), computing: .nanoseconds(1), draw: 0.5) == (odd > 1)
                )
            }
        }
    }
}
