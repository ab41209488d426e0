extension EventBus: ActivityReporting {
    /// The monitor of the broker in this process that the bus is on; `nil` on every other transport.
    package var activityMonitor: ActivityMonitor? { (transport as? any ActivityMonitoring)?.activityMonitor }

    /// The events that are with async local listeners. What handlers have is known to the broker.
    package func activity() -> Activity {
        local.pendingActivity()
    }
}
