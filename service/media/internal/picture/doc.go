// Package picture makes small pictures of large ones: JPEG, PNG, GIF and WebP. What a picture needs in memory is known before
// any of it is decoded ([Info]), since those who upload pictures are not to be trusted.
package picture
