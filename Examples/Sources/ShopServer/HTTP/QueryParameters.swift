public import EventBusServiceKit
import HTTPTypes
import TerminalText

/// A parser of the parameters of a list's query.
public enum QueryParameters {
    /// Parses the parameters individually. None may occur twice.
    ///
    /// - Parameters:
    ///   - parameters: The parameters of a request.
    ///   - rule: The allowed parameters, as text for the client.
    ///   - read: A closure that parses the value of a parameter, and returns a description of the problem with it.
    /// - Throws: `HTTPProblem` 400, which names each invalid parameter and its rule.
    public static func read(
        _ parameters: some Sequence<(key: Substring, value: Substring)>,
        rule: String,
        _ read: (_ value: Substring, _ name: Substring) -> String?
    ) throws(HTTPProblem) {
        var problems: [HTTPProblem.FieldError] = []
        var seen: Set<Substring> = []
        for (name, value) in parameters {
            let problem = seen.insert(name).inserted ? read(value, name) : "is given more than once; give it once"
            if let problem {
                // By bytes, because one character may be as long as the request.
                problems.append(.init(field: String(name).cut(toUTF8Length: 100).printable, problem: problem))
            }
        }
        guard problems.isEmpty else {
            throw HTTPProblem(
                .badRequest,
                "The query is not valid",
                detail: rule,
                fields: Array(problems.prefix(50))
            )
        }
    }

    /// Parses the maximum number of entries on a page into `limit`. Returns a description of the problem with it.
    public static func read(_ value: Substring, into limit: inout Int, within limits: ClosedRange<Int>) -> String? {
        // Only digits, because Swift accepts "+5" as well.
        let number = value.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(value) : nil
        guard let number, limits.contains(number) else {
            return "has to be a whole number from \(limits.lowerBound) to \(limits.upperBound)"
        }
        limit = number
        return nil
    }
}
