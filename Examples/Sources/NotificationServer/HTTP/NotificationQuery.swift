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
        try QueryParameters.read(
            parameters,
            rule: "Notifications can be asked for with the parameters order and limit."
        ) { value, name in
            read(value, of: name)
        }
    }

    /// Takes a parameter; returns what is wrong with it.
    private mutating func read(_ value: Substring, of name: Substring) -> String? {
        switch name {
        case "order":
            guard !value.isEmpty else { return "is empty; give an order's id" }
            orderID = String(value)
        case "limit":
            return QueryParameters.read(value, into: &limit, within: Self.limits)
        default:
            return "is no parameter of this list; there are order and limit"
        }
        return nil
    }
}
