import EventStory
import FoundationEssentials

/// A reader of files with JSON lines that finds those of one story.
enum StoryFiles {
    /// Returns the records of a story in files, in the order of the lines.
    ///
    /// Spans that carry no correlation id belong to the story if their trace has a span that does.
    static func records(of correlation: String, in files: [String]) throws -> [StoryRecord] {
        // Most lines do not contain the id, and need not be decoded.
        let id = needle(correlation)
        var records: [StoryRecord] = []
        var traces: Set<String> = []
        var contents: [Data] = []
        for file in files {
            guard let data = try? Data(contentsOf: URL(filePath: file), options: .mappedIfSafe) else {
                throw CommandFailure("\(file) cannot be read", status: CommandFailure.invalidInput)
            }
            contents.append(data)
            forEachLine(of: data, containing: [id]) { line in
                guard let record = StoryRecord(line: line), record.correlationID == correlation else { return }
                records.append(record)
                if case .span(let span) = record { traces.insert(span.traceID) }
            }
        }
        guard !traces.isEmpty else { return records }
        let ids = traces.map(needle)
        for data in contents {
            forEachLine(of: data, containing: ids) { line in
                guard let span = SpanRecord(line: line), span.correlationID == nil, traces.contains(span.traceID)
                else { return }
                records.append(.span(span))
            }
        }
        return records
    }

    /// Calls `body` with each line that contains one of some texts.
    private static func forEachLine(of data: Data, containing texts: [[UInt8]], _ body: (Data) -> Void) {
        var start = data.startIndex
        while start < data.endIndex {
            let end = data[start...].firstIndex(of: UInt8(ascii: "\n")) ?? data.endIndex
            let line = data[start..<end]
            if texts.contains(where: { contains($0, in: line) }) { body(Data(line)) }
            start = end + 1
        }
    }

    /// Returns the bytes of a text within JSON.
    private static func needle(_ text: String) -> [UInt8] {
        guard let quoted = try? StandardOutput.encoded(text), quoted.count > 2 else { return Array(text.utf8) }
        return Array(quoted.dropFirst().dropLast())
    }

    private static func contains(_ text: [UInt8], in line: Data) -> Bool {
        line.withUnsafeBytes { bytes in
            guard let first = text.first else { return true }
            guard bytes.count >= text.count else { return false }
            return (0...bytes.count - text.count).contains { start in
                bytes[start] == first && bytes[start..<start + text.count].elementsEqual(text)
            }
        }
    }
}
