/// The story of the events that passed an ``EventRecorder``, as a timeline with one line for each publish and attempt.
///
/// ```
/// 2 events, 5 steps, 1 min
/// time    P 1 2  event
/// +0 s    ● ▶    #1 order.confirmed  published
/// +0 s      ✗    #1 order.confirmed  attempt 1 failed, the next one in 30 s
///                                    OutOfPaper: …
/// +30 s     ●    #1 order.confirmed  attempt 2 handled
/// +30 s   ●   ▶  #2 order.printed    published because of #1
/// +30 s       †  #2 order.printed    attempt 1 failed, dead letter: non_retryable
///                                    Declined: …
/// P publishers
/// 1 printer.order-confirmed
/// 2 billing.order-printed
/// ```
///
/// A dot is a step that succeeded, a cross is a failed attempt that is repeated, a dagger is a dead letter, and a circle
/// is anything else, such as a duplicate. Arrows lead to the subscriptions that have received the event. Times are those
/// of the bus's clock since the first step.
///
/// If there are more than ``maximumSteps``, the first ones are left out.
public struct EventStory: Sendable {
    /// The maximum number of steps in the text.
    public static let maximumSteps = 100

    let steps: [StoryLog.Step]
}

extension EventStory: CustomStringConvertible {
    /// The timeline.
    public var description: String { StoryDrawing(steps).text }
}
