import ServiceKit

/// What the list of products is asked for with: `?limit=50&after=SKU`.
struct StockQuery: Hashable, Sendable {
    /// How many products a page can have.
    static let limits = 1...1_000
    /// How many it has unless asked for another number.
    static let defaultLimit = 100

    /// How many at most.
    private(set) var limit = defaultLimit
    /// The last product that the client knows; `nil` to begin with the first.
    private(set) var previous: SKU?

    /// Reads the parameters of a request.
    ///
    /// - Throws: `HTTPProblem` 400, which names each parameter that is wrong and what it can be.
    init(_ parameters: some Sequence<(key: Substring, value: Substring)>) throws(HTTPProblem) {
        try QueryParameters.read(
            parameters,
            rule: "The list of products can be asked for with the parameters limit and after."
        ) { value, name in
            read(value, of: name)
        }
    }

    /// Takes a parameter; returns what is wrong with it.
    private mutating func read(_ value: Substring, of name: Substring) -> String? {
        switch name {
        case "limit":
            return QueryParameters.read(value, into: &limit, within: Self.limits)
        case "after":
            guard let sku = SKU(String(value)) else { return "is no sku: \(SKU.rule)" }
            previous = sku
        default:
            return "is no parameter of this list; there are limit and after"
        }
        return nil
    }
}
