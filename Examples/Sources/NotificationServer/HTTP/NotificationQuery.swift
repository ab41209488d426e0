import EventBusServiceKit
import ShopServer

/// The query of the list of notifications: `?order=ID` or `?limit=50`.
struct NotificationQuery: Hashable, Sendable {
    /// The allowed page sizes.
    static let limits = 1...1_000
    /// The default page size.
    static let defaultLimit = 100

    /// The order of the notifications, or `nil` for all orders.
    private(set) var orderID: String?
    /// The maximum number of notifications.
    private(set) var limit = defaultLimit

    /// Parses the parameters of a request.
    ///
    /// - Throws: `HTTPProblem` 400, which names each invalid parameter and its rule.
    init(_ parameters: some Sequence<(key: Substring, value: Substring)>) throws(HTTPProblem) {
        try QueryParameters.read(
            parameters,
            rule: "Notifications can be asked for with the parameters order and limit."
        ) { value, name in
            read(value, of: name)
        }
    }

    /// Parses a parameter. Returns a description of the problem with it.
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
