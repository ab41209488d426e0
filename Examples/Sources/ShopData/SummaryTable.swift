/// A summary of a run for people to read, with a label and a value in each row.
public struct SummaryTable: CustomStringConvertible {
    private var rows: [(label: String, value: String)] = []

    /// Creates the rows that every run of the shop has.
    public init(_ report: ShopReport, _ audit: ShopAudit) {
        add("orders placed", report.orders)
        add("  reserved, confirmed", report.reserved)
        add("  rejected, cancelled", report.rejected)
        add("customers told", report.notified)
        add("value confirmed", audit.revenue)
        add("opening stock", report.openingStock.values.reduce(0, +))
        add("  reserved", audit.sold.values.reduce(0, +))
        add("  remaining", report.remainingStock.values.reduce(0, +))
        add("  oversold", report.oversold)
        add("retries", report.retries)
        add("duplicates suppressed", report.duplicatesSuppressed)
        add("dead letters", report.deadLetters)
    }

    /// Adds a row.
    public mutating func add(_ label: String, _ value: some CustomStringConvertible) {
        rows.append((label, value.description))
    }

    /// Adds the duration of the run, and the duration for each order.
    public mutating func addPace(of report: ShopReport) {
        add("seconds", report.seconds)
        add("orders a second", Int(Double(report.orders) / max(report.seconds, 0.001)))
    }

    /// The table with a rule above and below.
    public var description: String {
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
