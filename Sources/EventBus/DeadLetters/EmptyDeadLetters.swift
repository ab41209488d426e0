/// The dead letters of a transport that keeps none.
struct EmptyDeadLetters: DeadLetterQueue {
    func count() async throws -> Int { 0 }
    func entries(limit: Int, offset: Int) async throws -> [DeadLetter] { [] }
    func replay(options: ReplayOptions, where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int { 0 }
    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int { 0 }
}
