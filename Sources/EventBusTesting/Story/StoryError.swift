/// An error with the story of the events that led to it. See ``EventRecorder/withStory(_:)``.
///
/// ```swift
/// do {
///     try await recorder.withStory { try await broker.settled() }
/// } catch let error as StoryError {
///     print(error.story)
/// }
/// ```
public struct StoryError: Error, CustomStringConvertible {
    /// The error that was thrown.
    public let underlying: any Error
    /// The story up to the error.
    public let story: EventStory

    /// The error, followed by the story.
    public var description: String { "\(underlying)\n\(story)" }
}
