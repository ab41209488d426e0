extension EventBus {
    /// The properties of the queues of all subscriptions that have not been cancelled, in the order of subscribing.
    ///
    /// A transport can describe or declare them before the bus runs.
    public var queueSpecifications: [QueueSpecification] { registry.runners.map(\.specification) }
}
