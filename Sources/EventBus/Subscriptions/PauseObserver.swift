/// An observer of the pauses of its subscription.
package protocol PauseObserver: DeliveryObserver {
    /// Observes that the subscription pauses or continues.
    func didPause(_ isPaused: Bool)
}
