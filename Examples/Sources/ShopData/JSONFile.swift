import FoundationEssentials

/// A file with one JSON value.
public enum JSONFile {
    /// Writes a value in a readable format, replacing the file's content.
    ///
    /// - Throws: ``FileProblem`` if the file cannot be written.
    public static func write(_ value: some Encodable, to file: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let json = try encoder.encode(value)
        do {
            try json.write(to: URL(filePath: file), options: .atomic)
        } catch {
            throw FileProblem(file: file, action: "written", cause: error)
        }
    }
}
