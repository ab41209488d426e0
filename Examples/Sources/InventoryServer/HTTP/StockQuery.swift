import HTTPTypes
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
                detail: "The list of products can be asked for with the parameters limit and after.",
                fields: Array(problems.prefix(50))
            )
        }
    }

    /// Takes a parameter; returns what is wrong with it.
    private mutating func read(_ value: Substring, of name: Substring) -> String? {
        switch name {
        case "limit":
            // Only digits: Swift reads "+5" as well.
            let number = value.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(value) : nil
            guard let number, Self.limits.contains(number) else {
                return "has to be a whole number from 1 to \(Self.limits.upperBound)"
            }
            limit = number
        case "after":
            guard let sku = SKU(String(value)) else { return "is no sku: \(SKU.rule)" }
            previous = sku
        default:
            return "is no parameter of this list; there are limit and after"
        }
        return nil
    }
}
