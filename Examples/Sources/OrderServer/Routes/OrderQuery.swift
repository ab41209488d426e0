import OrderService
import ServiceKit

/// What a list of orders is asked for with: `?status=placed&limit=50&after=ID`.
struct OrderQuery: Hashable, Sendable {
    /// How many orders a page can have.
    static let limits = 1...500
    /// How many it has unless asked otherwise.
    static let defaultLimit = 100

    /// Which orders; `nil` for all.
    var status: OrderStatus.Kind?
    /// How many at most.
    var limit = defaultLimit
    /// The last order that the client knows; `nil` to begin with the first.
    var previous: String?

    /// Reads the parameters of a request.
    ///
    /// - Throws: `HTTPProblem` 400, which names each parameter that is wrong and what it can be.
    init(_ parameters: some Sequence<(key: Substring, value: Substring)>) throws(HTTPProblem) {
        try QueryParameters.read(
            parameters,
            rule: "A list of orders can be asked for with the parameters status, limit and after."
        ) { value, name in
            read(value, of: name)
        }
    }

    /// Takes a parameter; returns what is wrong with it.
    private mutating func read(_ value: Substring, of name: Substring) -> String? {
        switch name {
        case "status":
            status = OrderStatus.Kind(rawValue: String(value))
            let names = OrderStatus.Kind.allCases.map(\.rawValue)
            return status == nil ? "has to be one of \(names.joined(separator: ", "))" : nil
        case "limit":
            return QueryParameters.read(value, into: &limit, within: Self.limits)
        case "after":
            guard let id = OrderID.checked(String(value)) else {
                return "has to be the id of an order, such as the value of next in the page before"
            }
            previous = id
        default:
            return "is no parameter of this list; there are status, limit and after"
        }
        return nil
    }
}

/// The form of an order's number.
enum OrderID {
    /// `text` if an order can have it as its number; `nil` otherwise.
    static func checked(_ text: String) -> String? {
        guard (1...Order.maximumIDLength).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        return text
    }
}
