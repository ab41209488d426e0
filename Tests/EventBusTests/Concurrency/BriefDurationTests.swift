import EventBus
import Testing

struct BriefDurationTests {
    @Test(arguments: [
        (Duration.zero, "0 ns"), (.nanoseconds(999), "999 ns"), (.milliseconds(9), "9 ms"),
        (.milliseconds(1_500), "1.5 s"), (.microseconds(12_345), "12.3 ms"), (.seconds(59), "59 s"),
        (.seconds(135), "2.25 min"), (.seconds(7_200), "2 h"), (.seconds(-3), "-3 s"),
    ])
    func `a duration is written in its largest unit`(duration: Duration, text: String) {
        #expect(duration.brief == text)
    }

    @Test func `no duration is too long to be written`() {
        #expect(Duration.seconds(Int64.max).brief.hasSuffix(" d"))
        #expect(Duration.seconds(Int64.min).brief.hasPrefix("-"))
    }
}
