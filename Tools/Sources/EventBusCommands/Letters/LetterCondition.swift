import EventBus
import FoundationEssentials

/// A condition on a dead letter, such as `payload.total > 100` or `header.tenant = acme`.
struct LetterCondition: Hashable, Sendable {
    /// The comparison.
    enum Comparison: String, CaseIterable, Sendable {
        // Longer signs first, because the parser takes the first that fits.
        case greaterOrEqual = ">="
        case lessOrEqual = "<="
        case notEqual = "!="
        case equalTwice = "=="
        case equal = "="
        case greater = ">"
        case less = "<"
        case contains = "~"
    }

    /// The steps of the path after `payload`, or the name of a header.
    private enum Subject: Hashable, Sendable {
        case payload([String])
        case header(String)
    }

    private var subject: Subject
    private var comparison: Comparison
    private var value: JSONValue
    /// The value as it was written, for comparisons with texts.
    private var text: String

    /// Parses a condition. Returns `nil` if it is invalid.
    init?(_ condition: String) {
        guard let start = condition.firstIndex(where: { "=!<>~".contains($0) }),
            let comparison = Comparison.allCases.first(where: { condition[start...].hasPrefix($0.rawValue) })
        else { return nil }
        let path = condition[..<start].trimmed
        text = condition[start...].dropFirst(comparison.rawValue.count).trimmed
        if text.count >= 2, let quote = text.first, quote == text.last, quote == "\"" || quote == "'" {
            text = String(text.dropFirst().dropLast())
            value = .string(text)
        } else if let sign = text.first, "=!<>~".contains(sign) {
            // Such as `=>`, whose author meant something else.
            return nil
        } else {
            switch text {
            case "null": value = .null
            case "true": value = .bool(true)
            case "false": value = .bool(false)
            default:
                value = Int64(text).map { .integer($0) } ?? Self.number(text).map { .number($0) } ?? .string(text)
            }
        }
        let steps = path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard steps.count > 1, steps.allSatisfy({ !$0.isEmpty }) else { return nil }
        switch steps[0] {
        case "payload": subject = .payload(Array(steps.dropFirst()))
        case "header": subject = .header(steps.dropFirst().joined(separator: "."))
        default: return nil
        }
        self.comparison = comparison == .equalTwice ? .equal : comparison
    }

    /// Returns the number that a text is, in decimal notation, or `nil` if it is none.
    private static func number(_ text: String) -> Double? {
        guard text.allSatisfy({ $0.isASCII && ($0.isNumber || "+-.eE".contains($0)) }), let number = Double(text),
            number.isFinite
        else { return nil }
        return number
    }

    /// Returns a Boolean value indicating whether the condition holds. `payload` is the decoded payload of the letter.
    func holds(for letter: DeadLetter, payload: JSONValue?) -> Bool {
        let found: JSONValue? =
            switch subject {
            case .payload(let steps): steps.reduce(payload) { $0?[$1] }
            case .header(let name): letter.envelope.headers[name].map(HeaderJSON.value)
            }
        return holds(for: found)
    }

    private func holds(for found: JSONValue?) -> Bool {
        // Numbers that were written as digits also match texts of the same digits.
        let isEqual =
            found == value || found == .string(text) || (found == nil && value == .null)
            || found.map { $0.isNumber && order($0) == 0 } == true
        switch comparison {
        case .equal, .equalTwice: return isEqual
        case .notEqual: return !isEqual
        case .contains:
            guard case .string(let whole)? = found else { return false }
            return whole.contains(text)
        case .greater: return found.flatMap(order).map { $0 > 0 } ?? false
        case .greaterOrEqual: return found.flatMap(order).map { $0 >= 0 } ?? false
        case .less: return found.flatMap(order).map { $0 < 0 } ?? false
        case .lessOrEqual: return found.flatMap(order).map { $0 <= 0 } ?? false
        }
    }

    /// Returns the order of a found value in relation to the condition's, or `nil` if they cannot be compared.
    private func order(_ found: JSONValue) -> Int? {
        func sign<Value: Comparable>(_ found: Value, _ value: Value) -> Int {
            found < value ? -1 : found > value ? 1 : 0
        }
        switch (found, value) {
        case (.integer(let found), .integer(let value)): return sign(found, value)
        case (.integer(let found), .number(let value)): return sign(Double(found), value)
        case (.number(let found), .integer(let value)): return sign(found, Double(value))
        case (.number(let found), .number(let value)): return sign(found, value)
        // Amounts are often texts, and a condition on a number means their value.
        case (.string(let found), .integer(let value)): return Self.number(found).map { sign($0, Double(value)) }
        case (.string(let found), .number(let value)): return Self.number(found).map { sign($0, value) }
        case (.string(let found), .string(let value)): return sign(found, value)
        default: return nil
        }
    }
}

extension JSONValue {
    fileprivate var isNumber: Bool {
        switch self {
        case .integer, .number: true
        default: false
        }
    }
}

extension StringProtocol {
    fileprivate var trimmed: String {
        var rest = Substring(self)
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
