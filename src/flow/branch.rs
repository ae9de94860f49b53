//! The bin between a source's pad and a feed. A failure inside it costs only its own track.

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::Error;

glib::wrapper! {
    /// A bin with one sink pad and one source pad that contains its own failures.
    ///
    /// An error inside it, or caps that its elements refuse, would end the whole pipeline and with
    /// it the other tracks. Instead the bin asks its owner. If the owner contains the failure, the
    /// bin drops all media until new caps arrive.
    pub(super) struct Branch(ObjectSubclass<imp::Branch>) @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

impl Branch {
    /// A branch of these elements, in `gst-launch-1.0` syntax. `keep` gets the reason of a failure
    /// and returns whether it stays inside.
    pub(super) fn parse(
        name: &str,
        description: &str,
        keep: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let failed = |reason: &dyn std::fmt::Display| Error::build(name, reason);
        let inner = gst::parse::bin_from_description(description, true).map_err(|e| failed(&e))?;
        let ends = inner.static_pad("sink").zip(inner.static_pad("src"));
        let (entry, exit) = ends.ok_or_else(|| failed(&"it has not two ends"))?;
        let branch: Self = glib::Object::builder().property("name", name).build();
        branch.imp().set_owner(Box::new(keep));
        branch.add(&inner).map_err(|e| failed(&e))?;
        let sink = gst::GhostPad::builder(gst::PadDirection::Sink).name("sink");
        let sink = sink
            .chain_function(|pad, parent, buffer| {
                imp::guard(parent, || gst::ProxyPad::chain_default(pad, parent, buffer))
            })
            .chain_list_function(|pad, parent, list| {
                imp::guard(parent, || gst::ProxyPad::chain_list_default(pad, parent, list))
            })
            .event_function(|pad, parent, event| {
                if event.type_() == gst::EventType::Caps {
                    imp::try_again(parent);
                }
                // Refused caps show up when the next buffer arrives.
                gst::Pad::event_default(pad, parent, event);
                true
            })
            // Upstream queries whether caps fit before it sends them: a no would end the whole
            // pipeline.
            .query_function(|pad, parent, query| {
                if let gst::QueryViewMut::AcceptCaps(accept) = query.view_mut() {
                    accept.set_result(true);
                    return true;
                }
                gst::Pad::query_default(pad, parent, query)
            })
            .build();
        sink.set_target(Some(&entry)).map_err(|e| failed(&e))?;
        let source = gst::GhostPad::with_target(&exit).map_err(|e| failed(&e))?;
        branch.add_pad(&sink).and_then(|()| branch.add_pad(&source)).map_err(|e| failed(&e))?;
        Ok(branch)
    }
}

mod imp {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::flow::node;

    type Keep = Box<dyn Fn(&str) -> bool + Send + Sync>;

    #[derive(Default)]
    pub(in crate::flow) struct Branch {
        keep: OnceLock<Keep>,
        /// It has failed and drops all buffers.
        failed: AtomicBool,
    }

    impl Branch {
        pub(super) fn set_owner(&self, keep: Keep) {
            let _ = self.keep.set(keep);
        }

        /// Handles a failure; true when it stays inside.
        fn keeps(&self, reason: &str) -> bool {
            if self.failed.load(Ordering::Relaxed) {
                return true;
            }
            let kept = self.keep.get().is_some_and(|keep| keep(reason));
            self.failed.store(kept, Ordering::Relaxed);
            kept
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Branch {
        const NAME: &'static str = "AuralinkBranch";
        type Type = super::Branch;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for Branch {}
    impl GstObjectImpl for Branch {}
    impl ElementImpl for Branch {}

    impl BinImpl for Branch {
        fn handle_message(&self, message: gst::Message) {
            if let gst::MessageView::Error(e) = message.view()
                && self.keeps(&node::words(e.error().message(), e.debug().as_deref()))
            {
                return;
            }
            self.parent_handle_message(message);
        }
    }

    fn branch(parent: Option<&gst::Object>) -> Option<&super::Branch> {
        parent.and_then(|parent| parent.downcast_ref())
    }

    /// Passes media on unless the branch has failed, and handles the flow result.
    pub(super) fn guard(
        parent: Option<&gst::Object>,
        pass: impl FnOnce() -> Result<gst::FlowSuccess, gst::FlowError>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some(branch) = branch(parent).map(super::Branch::imp) else { return pass() };
        if branch.failed.load(Ordering::Relaxed) {
            return Ok(gst::FlowSuccess::Ok);
        }
        match pass() {
            Err(gst::FlowError::Flushing | gst::FlowError::Eos)
                if branch.failed.load(Ordering::Relaxed) =>
            {
                Ok(gst::FlowSuccess::Ok)
            }
            flow @ (Ok(_) | Err(gst::FlowError::Flushing | gst::FlowError::Eos)) => flow,
            Err(error) => {
                let reason = match error {
                    gst::FlowError::NotNegotiated => "it is not in a form that can be taken".into(),
                    _ => format!("it cannot be read ({error})"),
                };
                if branch.keeps(&reason) { Ok(gst::FlowSuccess::Ok) } else { Err(error) }
            }
        }
    }

    /// New caps have arrived: clears the failure.
    pub(super) fn try_again(parent: Option<&gst::Object>) {
        if let Some(branch) = branch(parent) {
            branch.imp().failed.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn check(elements: &str, keep: bool, notes: usize, passes: bool) {
        gst::init().expect("GStreamer starts");
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = told.clone();
        let branch = Branch::parse("branch", elements, move |why| {
            log.lock().expect("no panic").push(why.to_owned());
            keep
        })
        .expect("builds");
        let mut harness = gst_check::Harness::with_element(&branch, Some("sink"), Some("src"));
        harness.set_src_caps_str(
            "audio/mpeg,mpegversion=4,stream-format=loas,framed=true,channels=1,rate=8000",
        );
        let flows: Vec<bool> =
            (0..3).map(|_| harness.push(gst::Buffer::from_slice([0_u8; 64])).is_ok()).collect();
        assert_eq!(flows, [passes; 3], "{elements}");
        assert_eq!(told.lock().expect("no panic").len(), notes, "{elements}: {told:?}");
    }

    #[test]
    fn caps_that_do_not_fit_are_kept_inside_where_the_owner_says_so() {
        let other = "identity ! capsfilter caps=audio/x-opus";
        check("identity", true, 0, true);
        check(other, true, 1, true);
        check(other, false, 3, false);
    }

    #[test]
    fn an_element_that_gives_up_is_kept_inside() {
        check("identity error-after=1", true, 1, true);
    }
}
