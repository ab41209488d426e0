extension EventRecorder {
    /// The recorder of the current task's ``withStory(_:)``, or `nil` outside of it.
    @TaskLocal public static var current: EventRecorder?

    /// The story so far: every publish and attempt with its outcome and time.
    ///
    /// ```swift
    /// #expect(try recorder.handled(OrderConfirmed.self).count == 1, "\(recorder.story)")
    /// ```
    public var story: EventStory { EventStory(steps: storySteps) }

    /// Runs the body of a test, and adds the story to an error that it throws, such as that of a broker that does not
    /// settle.
    ///
    /// ```swift
    /// try await recorder.withStory {
    ///     try await bus.publish(OrderConfirmed(orderID: "42"))
    ///     try await broker.settled()
    /// }
    /// ```
    ///
    /// Meanwhile it is ``current``, so that a trait can add the story to failed expectations too.
    ///
    /// - Throws: ``StoryError`` with the error of the body. `CancellationError` is thrown unchanged.
    public func withStory<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await Self.$current.withValue(self) { try await body() }
        } catch let error where error is CancellationError || error is StoryError {
            throw error
        } catch {
            throw StoryError(underlying: error, story: story)
        }
    }
}
