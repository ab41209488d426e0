import Testing

@testable import EventBusServiceKit

@Suite("Trace context", .timeLimit(.minutes(1)))
struct TraceParentTests {
    private static let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test("A header of version 00 is written as it was read")
    func roundTrip() throws {
        let identity = try #require(TraceParent.parse(Self.valid, state: "vendor=1,other=2"))
        #expect(identity.traceID == "4bf92f3577b34da6a3ce929d0e0e4736")
        #expect(identity.spanID == "00f067aa0ba902b7")
        #expect(identity.isSampled)
        #expect(identity.traceState == "vendor=1,other=2")
        #expect(TraceParent.format(identity) == Self.valid)
    }

    @Test("If a flag occurs twice, the first one counts")
    func flags() {
        #expect(TraceParent.parse(Self.valid.dropLast(2) + "00", state: nil)?.isSampled == false)
        #expect(TraceParent.parse(Self.valid.dropLast(2) + "03", state: nil)?.isSampled == true)
        #expect(TraceParent.parse(Self.valid.dropLast(2) + "02", state: nil)?.isSampled == false)
    }

    @Test("A later version is read as far as it is known")
    func laterVersion() {
        #expect(TraceParent.parse("cc" + Self.valid.dropFirst(2) + "-what-comes", state: nil) != nil)
        #expect(TraceParent.parse("cc" + Self.valid.dropFirst(2), state: nil) != nil)
        #expect(TraceParent.parse("cc" + Self.valid.dropFirst(2) + ".what", state: nil) == nil)
    }

    @Test(
        "What is not valid is ignored",
        arguments: [
            "", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ]
    )
    func invalid(header: String) {
        #expect(TraceParent.parse(header, state: nil) == nil)
    }

    @Test("An invalid state is dropped, and the trace continues")
    func state() {
        for state in [
            "no equals sign", String(repeating: "a=b,", count: 40), "a=\n", String(repeating: "x", count: 600),
        ] {
            #expect(TraceParent.parse(Self.valid, state: state)?.traceState == "", "\(state)")
        }
        #expect(TraceParent.parse(Self.valid, state: "a=1, b=2")?.traceState == "a=1, b=2")
    }
}
