/// An error that causes a later redelivery as the same attempt.
package struct DeferredDelivery: UncountedError {
    package var after: Duration

    package init(after: Duration) {
        self.after = after
    }
}
