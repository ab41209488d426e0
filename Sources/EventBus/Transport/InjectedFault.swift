/// A failure that a broker under test injects into a handler.
package enum InjectedFault: Error, Hashable, Sendable {
    /// The handler fails before it has done any work.
    case crashBeforeHandler
    /// The handler fails after its work, before an inbox has recorded it.
    case crashAfterHandler
    /// The delivery fails after the handler's work and its record in an inbox, before it is acknowledged.
    case crashAfterRecord
}
