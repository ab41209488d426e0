/// The topic and the id of an event as it arrived. Ids are unique for each topic.
struct ArrivalKey: Hashable, Sendable {
    let id: EventID
    let topic: Topic

    init(_ delivery: Delivery) {
        id = delivery.receivedID
        topic = delivery.envelope.topic
    }
}
