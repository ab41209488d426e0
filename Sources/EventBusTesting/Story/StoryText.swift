/// A text that takes the place of an error in a story.
struct StoryText: Error {
    let text: String

    init(_ error: any Error) {
        text = "\(error)"
    }
}
