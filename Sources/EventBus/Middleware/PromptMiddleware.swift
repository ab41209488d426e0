/// Publish middleware of the library, which waits for nothing beyond the deadline of the event, so that its chain needs no
/// time limit.
package protocol PromptMiddleware: PublishMiddleware {}
