import TerminalText

/// A table for people to read, with aligned columns.
struct TextTable: CustomStringConvertible {
    private var rows: [[String]]
    private let isRight: [Bool]
    private static let maximumCell = 400

    /// Creates a table. A title that begins with `>` is that of a column that is aligned to the right.
    init(_ titles: [String]) {
        isRight = titles.map { $0.hasPrefix(">") }
        rows = [titles.map { $0.hasPrefix(">") ? String($0.dropFirst()) : $0 }]
    }

    /// Adds a row. Foreign texts are made printable.
    mutating func add(_ cells: [String]) {
        rows.append(cells.map { $0.cut(toUTF8Length: Self.maximumCell).printable })
    }

    var description: String {
        let widths = isRight.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return isRight[column] ? padding + cell : cell + padding
            }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}
