import EventBus
import EventBusInMemory

/// The end of a run, for people to read.
struct SummaryTable: CustomStringConvertible {
    private var rows: [(label: String, value: String)] = []

    init(_ outcome: ShopRun.Outcome, problems: Int) {
        let report = outcome.report
        let opening = report.openingStock.values.reduce(0, +)
        let remaining = report.remainingStock.values.reduce(0, +)
        rows = [
            ("orders placed", "\(report.orders)"),
            ("  reserved, confirmed", "\(report.reserved)"),
            ("  rejected, cancelled", "\(report.rejected)"),
            ("customers told", "\(report.notified)"),
            ("value confirmed", "\(outcome.audit.revenue)"),
            ("opening stock", "\(opening)"),
            ("  reserved", "\(outcome.audit.sold.values.reduce(0, +))"),
            ("  remaining", "\(remaining)"),
            ("  oversold", "\(report.oversold)"),
            ("retries", "\(report.retries)"),
            ("duplicates suppressed", "\(report.duplicatesSuppressed)"),
            ("dead letters", "\(report.deadLetters)"),
        ]
        if problems > 0 { rows.append(("lines left out", "\(problems)")) }
        if let faults = outcome.faults {
            rows.append(("faults injected, seed \(faults.plan.seed)", "\(faults.faults.count)"))
            rows += FaultPlan.Kind.allCases.map { ("  \($0.rawValue)", "\(faults.count(of: $0))") }
        }
        rows.append(("seconds", "\(report.seconds)"))
        rows.append(("orders a second", "\(Int(Double(report.orders) / max(report.seconds, 0.001)))"))
    }

    var description: String {
        let labelWidth = rows.map(\.label.count).max() ?? 0
        let valueWidth = rows.map(\.value.count).max() ?? 0
        let rule = String(repeating: "-", count: labelWidth + valueWidth + 2)
        let lines = rows.map { row in
            let gap = labelWidth - row.label.count + 2 + valueWidth - row.value.count
            return row.label + String(repeating: " ", count: gap) + row.value
        }
        return ([rule] + lines + [rule]).joined(separator: "\n")
    }
}
