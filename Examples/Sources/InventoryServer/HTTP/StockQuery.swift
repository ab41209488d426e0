import EventBusServiceKit
import ShopServer

/// The query of the list of products: `?limit=50&after=SKU`.
struct StockQuery: Hashable, Sendable {
    /// The allowed page sizes.
    static let limits = 1...1_000
    /// The default page size.
    static let defaultLimit = 100

    /// The maximum number of products.
    private(set) var limit = defaultLimit
    /// The last product that the client knows, or `nil` to start with the first.
    private(set) var previous: SKU?

    /// Parses the parameters of a request.
    ///
    /// - Throws: `HTTPProblem` 400, which names each invalid parameter and its rule.
    init(_ parameters: some Sequence<(key: Substring, value: Substring)>) throws(HTTPProblem) {
        try QueryParameters.read(
            parameters,
            rule: "The list of products can be asked for with the parameters limit and after."
        ) { value, name in
            read(value, of: name)
        }
    }

    /// Parses a parameter. Returns a description of the problem with it.
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
