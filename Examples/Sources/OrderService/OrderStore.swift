/// Where the order service keeps its orders.
public protocol OrderStore: Sendable {
    /// Stores an order as placed, unless there is one with its id.
    ///
    /// - Returns: What is stored under the id now.
    func insert(_ order: Order) async throws -> Order

    /// The order with this id and how far it has come; `nil` if there is none.
    func order(_ id: String) async throws -> (order: Order, status: OrderStatus)?

    /// Ends an order that is placed. One that has ended keeps the status it has.
    ///
    /// - Returns: The status that stands now; `nil` if there is no such order.
    func end(_ id: String, as status: OrderStatus) async throws -> OrderStatus?

    /// Every order, in no order.
    func all() async throws -> [(order: Order, status: OrderStatus)]
}
