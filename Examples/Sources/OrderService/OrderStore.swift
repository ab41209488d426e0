public import EventBus

/// Where the order service keeps its orders.
///
/// A store announces what it stores: with the call that changes an order goes the event that tells of it
/// (``Order/created``, ``OrderStatus/event(for:)``). A store in memory publishes it before the call returns; one in a
/// database keeps it in the same transaction as the order, for a relay to publish.
public protocol OrderStore: Sendable {
    /// Stores an order as placed, unless there is one with its id, and announces it.
    ///
    /// - Returns: What is stored under the id now.
    /// - Throws: When the order is not stored, or may not be announced. Then insert it again.
    func insert(_ order: Order) async throws -> Order

    /// The order with this id and how far it has come; `nil` if there is none.
    func order(_ id: String) async throws -> (order: Order, status: OrderStatus)?

    /// Ends an order that is placed, and announces its end. One that has ended keeps the status it has.
    ///
    /// - Parameters:
    ///   - id: The order.
    ///   - status: How it ends.
    ///   - context: The delivery that is being handled: a store with an inbox records it in the same transaction;
    ///     `nil` where it is none.
    /// - Returns: The status that stands now; `nil` if there is no such order.
    /// - Throws: When the end is not stored, or may not be announced. Then end it again.
    func end(_ id: String, as status: OrderStatus, handling context: EventContext?) async throws -> OrderStatus?

    /// Every order, in no order.
    func all() async throws -> [(order: Order, status: OrderStatus)]
}
