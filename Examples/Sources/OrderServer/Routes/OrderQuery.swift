import EventBusServiceKit
import OrderService
import ShopEvents
import ShopServer

/// The query of a list of orders: `?status=placed&limit=50&after=ID`.
struct OrderQuery: Hashable, Sendable {
    /// The allowed page sizes.
    static let limits = 1...500
    /// The default page size.
    static let defaultLimit = 100

    /// The status of the orders, or `nil` for all.
    var status: OrderStatus.Kind?
    /// The maximum number of orders.
    var limit = defaultLimit
    /// The last order that the client knows, or `nil` to start with the first.
    var previous: String?

    /// Parses the parameters of a request.
    ///
    /// - Throws: `HTTPProblem` 400, which names each invalid parameter and its rule.
    init(_ parameters: some Sequence<(key: Substring, value: Substring)>) throws(HTTPProblem) {
        try QueryParameters.read(
            parameters,
            rule: "A list of orders can be asked for with the parameters status, limit and after."
        ) { value, name in
            read(value, of: name)
        }
    }

    /// Parses a parameter. Returns a description of the problem with it.
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

/// The format of an order's number.
enum OrderID {
    /// Returns `text` if it is a valid order number, and `nil` otherwise.
    static func checked(_ text: String) -> String? {
        ShopRules.isOrderID(text) ? text : nil
    }
}
