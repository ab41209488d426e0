/// A sink that can tell when none of its deliveries is being handled or reported any more.
package protocol IdleReporting: DeliverySink {
    /// Returns a signal for when nothing is being handled, or `nil` if nothing is.
    func quiescence() -> Signal?
}
