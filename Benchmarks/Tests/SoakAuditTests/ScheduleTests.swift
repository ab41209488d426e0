import SoakAudit
import Testing

@Suite("The schedule of faults")
struct ScheduleTests {
    private static func steps(_ seed: UInt64) -> [FaultSchedule.Step] {
        Array(FaultSchedule(seed: seed, workers: ["plain-1", "keyed-1"]).lazy.prefix(200))
    }

    @Test("A seed has the same schedule every time")
    func sameSeed() {
        #expect(Self.steps(7) == Self.steps(7))
        #expect(Self.steps(7) != Self.steps(8))
    }

    @Test("Every kind of fault is equally frequent")
    func kinds() {
        var counts: [Fault.Kind: Int] = [:]
        for fault in Self.steps(7).flatMap(\.faults) { counts[fault.kind, default: 0] += 1 }
        #expect(counts.count == Fault.Kind.allCases.count)
        // The second fault of a step that cannot coincide with the first one is dropped.
        #expect((counts.values.min() ?? 0) * 2 >= counts.values.max() ?? 0)
    }

    @Test("Faults at the same time affect different processes")
    func targets() {
        for step in Self.steps(7) where step.faults.count == 2 {
            #expect(step.faults[0].kind != step.faults[1].kind)
            #expect(step.faults[0].target.isEmpty || step.faults[0].target != step.faults[1].target)
        }
    }
}
