import EventBus
import FoundationEssentials

/// Headers in JSON. Values of kinds that JSON lacks are objects with one member that begins with `$`.
enum HeaderJSON {
    static func value(_ header: HeaderValue) -> JSONValue {
        switch header {
        case .string(let text): .string(text)
        case .int(let number): .integer(number)
        // JSON has no number that is not finite.
        case .double(let number): .object(["$double": number.isFinite ? .number(number) : .string("\(number)")])
        case .bool(let flag): .bool(flag)
        case .bytes(let bytes): .object(["$bytes": .string(Data(bytes).base64EncodedString())])
        case .timestamp(let seconds): .object(["$timestamp": .integer(seconds)])
        case .array(let values): .array(values.map(value))
        case .table(let table): .object(["$table": object(table)])
        case .null: .null
        }
    }

    static func object(_ table: HeaderTable) -> JSONValue {
        // Names that differ in Unicode normalization only are equal in Swift, and so rare that the last one is enough.
        .object(Dictionary(table.map { ($0.name, value($0.value)) }) { $1 })
    }

    /// Returns the header of a value, or `nil` if it is not in the form of ``value(_:)``.
    static func header(_ value: JSONValue, depth: Int = 0) -> HeaderValue? {
        guard depth <= HeaderValue.maximumDepth else { return nil }
        switch value {
        case .null: return .null
        case .bool(let flag): return .bool(flag)
        case .integer(let number): return .int(number)
        case .number(let number): return .double(number)
        case .string(let text): return .string(text)
        case .array(let values):
            var headers: [HeaderValue] = []
            for value in values {
                guard let header = header(value, depth: depth + 1) else { return nil }
                headers.append(header)
            }
            return .array(headers)
        case .object(let members):
            guard members.count == 1 else { return nil }
            switch members.first {
            case ("$double", .number(let number))?: return .double(number)
            case ("$double", .integer(let number))?: return .double(Double(number))
            case ("$double", .string(let text))?: return Double(text).map { .double($0) }
            case ("$bytes", .string(let text))?: return Data(base64Encoded: text).map { .bytes([UInt8]($0)) }
            case ("$timestamp", .integer(let seconds))?: return .timestamp(seconds: seconds)
            case ("$table", .object(let members))?: return table(members, depth: depth + 1).map { .table($0) }
            default: return nil
            }
        }
    }

    /// Returns the table of an object's members, or `nil` if a value is not in the form of ``value(_:)``.
    static func table(_ members: [String: JSONValue], depth: Int = 0) -> HeaderTable? {
        var table = HeaderTable()
        for (name, value) in members {
            guard let header = header(value, depth: depth) else { return nil }
            table[name] = header
        }
        return table
    }
}
