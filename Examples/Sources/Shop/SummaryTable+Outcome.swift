import EventBusInMemory
import ShopData

extension SummaryTable {
    /// Creates the table that ends a run in one process.
    init(_ outcome: ShopRun.Outcome, problems: Int) {
        self.init(outcome.report, outcome.audit)
        if problems > 0 { add("lines left out", problems) }
        if let faults = outcome.faults {
            add("faults injected, seed \(faults.plan.seed)", faults.faults.count)
            for kind in FaultPlan.Kind.allCases { add("  \(kind.rawValue)", faults.count(of: kind)) }
        }
        addPace(of: outcome.report)
    }
}
