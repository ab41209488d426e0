/// Waits until `condition` has a result, looking at it again and again.
///
/// - Parameters:
///   - limit: How long at most.
///   - interval: How often it is looked at.
///   - goal: What is waited for, as in "… did not come about within 30 s".
/// - Throws: ``FleetProblem`` after `limit`; what `condition` throws; `CancellationError`.
public func wait<Result>(
    atMost limit: Duration,
    every interval: Duration = .milliseconds(20),
    for goal: @autoclosure () -> String,
    _ condition: () async throws -> Result?
) async throws -> Result {
    let deadline = ContinuousClock.now + limit
    while true {
        if let result = try await condition() { return result }
        if ContinuousClock.now > deadline { throw FleetProblem("\(goal()) did not come about within \(limit)") }
        try await Task.sleep(for: interval)
    }
}

/// Waits until `condition` holds; see ``wait(atMost:every:for:_:)-(_,_,_,()->Result?)``.
public func wait(
    atMost limit: Duration,
    every interval: Duration = .milliseconds(20),
    for goal: @autoclosure () -> String,
    _ condition: () async throws -> Bool
) async throws {
    try await wait(atMost: limit, every: interval, for: goal()) { try await condition() ? () : nil }
}
