/// Middleware for published events that needs the clock of its bus.
package protocol ClockedMiddleware: PublishMiddleware {
    /// Stores the clock of a bus that uses the middleware. It is called for each such bus.
    func use(_ clock: AnyClock)
}
