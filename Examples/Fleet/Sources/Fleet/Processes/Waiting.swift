/// Waits until `condition` has a result. It is evaluated repeatedly.
///
/// - Parameters:
///   - limit: The maximum wait.
///   - interval: The interval of the evaluations.
///   - goal: The subject for the error message, as in "… did not come about within 30 s".
/// - Throws: ``FleetProblem`` after `limit`; errors of `condition`; `CancellationError`.
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

/// Waits until `condition` is true. See ``wait(atMost:every:for:_:)-(_,_,_,()->Result?)``.
public func wait(
    atMost limit: Duration,
    every interval: Duration = .milliseconds(20),
    for goal: @autoclosure () -> String,
    _ condition: () async throws -> Bool
) async throws {
    try await wait(atMost: limit, every: interval, for: goal()) { try await condition() ? () : nil }
}
