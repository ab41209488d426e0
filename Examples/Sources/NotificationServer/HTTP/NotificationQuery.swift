import HTTPTypes
import ServiceKit

/// What notifications are asked for with: `?order=ID` or `?limit=50`.
struct NotificationQuery: Hashable, Sendable {
    /// How many notifications a page can have.
    static let limits = 1...1_000
    /// How many it has unless asked for another number.
    static let defaultLimit = 100

    /// The order they are about; `nil` for any.
    private(set) var orderID: String?
    /// How many at most.
    private(set) var limit = defaultLimit

    /// Reads the parameters of a request.
    ///
    /// - Throws: `HTTPProblem` 400, which names each parameter that is wrong and what it can be.
    init(_ parameters: some Sequence<(key: Substring, value: Substring)>) throws(HTTPProblem) {
        var problems: [HTTPProblem.FieldError] = []
        var seen: Set<Substring> = []
        for (name, value) in parameters {
            let problem = seen.insert(name).inserted ? read(value, of: name) : "is given more than once; give it once"
            if let problem { problems.append(.init(field: String(name.prefix(100)), problem: problem)) }
        }
        guard problems.isEmpty else {
            throw HTTPProblem(
                .badRequest,
                "The query is not valid",
                detail: "Notifications can be asked for with the parameters order and limit.",
                fields: Array(problems.prefix(50))
            )
        }
    }

    /// Takes a parameter; returns what is wrong with it.
    private mutating func read(_ value: Substring, of name: Substring) -> String? {
        switch name {
        case "order":
            guard !value.isEmpty else { return "is empty; give an order's id" }
            orderID = String(value)
        case "limit":
            // Only digits: Swift reads "+5" as well.
            let number = value.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(value) : nil
            guard let number, Self.limits.contains(number) else {
                return "has to be a whole number from 1 to \(Self.limits.upperBound)"
            }
            limit = number
        default:
            return "is no parameter of this list; there are order and limit"
        }
        return nil
    }
}
