import Foundation

/// The messages in a file of the mbox format (RFC 4155).
struct Mailbox: Sendable {
    /// One message.
    struct Message: Sendable {
        /// The header fields by lowercase name.
        var headers: [String: String]

        /// The unique id of the message.
        var id: String { headers["message-id"] ?? "" }
    }

    /// The messages, in order.
    private(set) var messages: [Message] = []

    /// Reads a file. A missing file counts as empty.
    init(file: String) throws {
        let exists = FileManager.default.fileExists(atPath: file)
        self.init(text: exists ? String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self) : "")
    }

    /// Reads the text of a file.
    init(text: String) {
        var isHeader = false
        var lastName: String?
        var isAfterBlank = true
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if isAfterBlank && line.hasPrefix("From ") {
                messages.append(Message(headers: [:]))
                (isHeader, lastName) = (true, nil)
            } else if isHeader {
                note(line, &lastName)
                if line.isEmpty || line == "\r" { isHeader = false }
            }
            isAfterBlank = line.isEmpty || line == "\r"
        }
    }

    private mutating func note(_ line: Substring, _ lastName: inout String?) {
        let text = line.trimmingCharacters(in: .whitespaces)
        if let first = line.first, first == " " || first == "\t", let name = lastName {
            messages[messages.count - 1].headers[name, default: ""] += " " + text
        } else if let colon = line.firstIndex(of: ":") {
            let name = line[..<colon].lowercased()
            messages[messages.count - 1].headers[name] =
                line[line.index(after: colon)...].trimmingCharacters(in: .whitespacesAndNewlines)
            lastName = name
        }
    }
}
