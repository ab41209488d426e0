import FoundationEssentials
import TerminalText

/// A payload for people to read: indented JSON with coloured names, a text, or bytes.
enum PayloadText {
    private static let (name, string, plain) = ("\u{1B}[36m", "\u{1B}[32m", "\u{1B}[0m")

    /// Returns the text of a payload.
    static func text(_ payload: [UInt8], isColoured: Bool) -> String {
        if let json = try? JSONDecoder().decode(JSONValue.self, from: Data(payload)) {
            return lines(json, indentation: "", isColoured)
        }
        if let text = String(validating: payload, as: UTF8.self) {
            return text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0).printable }
                .joined(separator: "\n")
        }
        return "\(payload.count) bytes that are no text, in Base64: \(Data(payload).base64EncodedString())"
    }

    private static func lines(_ value: JSONValue, indentation: String, _ isColoured: Bool) -> String {
        func quoted(_ text: String, _ colour: String) -> String {
            let quoted = (try? StandardOutput.encoded(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
            // Line separators and marks that JSON does not escape are not to reach the terminal either.
            return isColoured ? colour + quoted.printable + plain : quoted.printable
        }
        let inner = indentation + "  "
        switch value {
        case .object(let members) where !members.isEmpty:
            let rows = members.sorted { $0.key < $1.key }.map {
                inner + quoted($0.key, name) + ": " + lines($0.value, indentation: inner, isColoured)
            }
            return "{\n" + rows.joined(separator: ",\n") + "\n" + indentation + "}"
        case .array(let elements) where !elements.isEmpty:
            let rows = elements.map { inner + lines($0, indentation: inner, isColoured) }
            return "[\n" + rows.joined(separator: ",\n") + "\n" + indentation + "]"
        case .string(let text): return quoted(text, string)
        case .object: return "{}"
        case .array: return "[]"
        case .null: return "null"
        case .bool(let flag): return "\(flag)"
        case .integer(let number): return "\(number)"
        case .number(let number): return "\(number)"
        }
    }
}
