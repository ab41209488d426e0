/// A clock whose time advances only on request.
package protocol AdvanceableClock: Sendable {
    /// The time since the clock's own origin.
    var offsetNow: Duration { get }
    /// Advances the time and wakes every sleeper that is due.
    func advance(toOffset offset: Duration) async
    /// The earliest deadline of all sleepers, as an offset from the clock's own origin.
    var nextSleeperOffset: Duration? { get }
    /// Calls `body` after each advance, until it returns `false`.
    func onAdvance(_ body: @escaping @Sendable () -> Bool)
}
